//! The files of the gallery, inside the binary. A test compares these lists with the folder.

macro_rules! files {
    ($folder:literal; $($name:literal,)*) => {
        &[$(($name, include_str!(concat!("recipes/", $folder, "/", $name, ".json")))),*]
    };
}

/// Recipes for senders.
pub(super) const SOURCES: &[(&str, &str)] = files!(
    "sources";
    "alertmanager",
    "apprise",
    "authentik",
    "diun",
    "dockerhub",
    "generic",
    "gitea",
    "github",
    "gitlab",
    "grafana",
    "healthchecks",
    "home_assistant",
    "jellyfin",
    "lidarr",
    "nextcloud",
    "paperless",
    "plex",
    "prowlarr",
    "proxmox",
    "radarr",
    "readarr",
    "shoutrrr",
    "slack",
    "sonarr",
    "standard",
    "stripe",
    "uptime_kuma",
);

/// Recipes for receivers.
pub(super) const DESTINATIONS: &[(&str, &str)] = files!(
    "destinations";
    "apprise",
    "discord",
    "emqx",
    "google_chat",
    "gotify",
    "home_assistant_event",
    "home_assistant_notify",
    "home_assistant_webhook",
    "json",
    "matrix",
    "mattermost",
    "ntfy",
    "pushover",
    "rocketchat",
    "slack",
    "teams",
    "telegram",
    "zulip",
);

/// Requests of senders, `source/sample`.
pub(super) const SAMPLES: &[(&str, &str)] = files!(
    "sources";
    "alertmanager/firing",
    "apprise/info",
    "authentik/warning",
    "diun/new",
    "dockerhub/push",
    "generic/json",
    "gitea/issue",
    "github/push",
    "github/release",
    "gitlab/pipeline",
    "grafana/firing",
    "healthchecks/down",
    "home_assistant/door",
    "jellyfin/item_added",
    "lidarr/grab",
    "nextcloud/node_created",
    "paperless/document",
    "plex/play",
    "prowlarr/health_restored",
    "proxmox/backup_failed",
    "radarr/download",
    "readarr/test",
    "shoutrrr/message",
    "slack/command",
    "slack/message",
    "sonarr/health",
    "sonarr/test",
    "standard/contact_created",
    "stripe/invoice_paid",
    "uptime_kuma/down",
    "uptime_kuma/test",
);
