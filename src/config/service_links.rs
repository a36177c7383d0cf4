//! Environment variables that Kubernetes sets for every Service (`<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT` and
//! the like). A Service named `postrider` or `postrider-…` makes them begin as ours do.

/// Ends of names, after that of the Service.
const HOST: &str = "SERVICE_HOST";
const PORT: &str = "SERVICE_PORT";

/// Whether a variable is one of Kubernetes'; `name` is without `POSTRIDER_`.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    // `POSTRIDER_SERVICE_HOST` or `POSTRIDER_WEB_SERVICE_HOST`, `…_SERVICE_PORT`, `…_SERVICE_PORT_HTTP`.
    let ends = |end: &str| name == end || name.ends_with(&format!("_{end}"));
    if ends(HOST) || ends(PORT) || name.starts_with("SERVICE_PORT_") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    // `POSTRIDER_PORT=tcp://10.0.0.1:8080`, `POSTRIDER_PORT_8080_TCP=…`, `POSTRIDER_PORT_8080_TCP_ADDR=…`.
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    (ends("PORT") && is_url) || is_port_of_protocol(name)
}

/// `PORT_8080_TCP`, perhaps with `_PROTO`, `_PORT` or `_ADDR`, after the name of a Service.
fn is_port_of_protocol(name: &str) -> bool {
    let name = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let Some(rest) = ["_TCP", "_UDP", "_SCTP"].iter().find_map(|end| name.strip_suffix(end)) else {
        return false;
    };
    let Some((before, number)) = rest.rsplit_once('_') else { return false };
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number && (before == "PORT" || before.ends_with("_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_services_are_known_by_their_form() {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8080"),
            ("SERVICE_PORT_HTTP", "8080"),
            ("PORT", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("METRICS_SERVICE_HOST", "10.0.0.1"),
            ("METRICS_SERVICE_PORT_HTTP", "80"),
            ("MY_METRICS_PORT", "udp://10.0.0.1:53"),
            ("METRICS_PORT_9090_TCP_PROTO", "tcp"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for (name, value) in [("PORT", "8080"), ("LISTEN", "tcp://x"), ("VERSION", "1"), ("PORT_X_TCP", "")] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
