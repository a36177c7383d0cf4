// A place for the dashboard.
document.body.append("Postrider");
