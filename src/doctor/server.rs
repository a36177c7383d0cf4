//! Checks of the database server in `storage.url`.

use super::Finding;
use crate::config::Config;
use crate::domain::alert::CLOCKS_APART_MS;
use crate::store::{ServerFacts, ServerTrouble};

/// The oldest PostgreSQL.
const VERSION_LEAST: i64 = 140_000;
/// A slower commit slows down posting events; in milliseconds.
const COMMIT_WARNING_MS: f64 = 20.0;
/// Clocks that are further apart are worth a warning; in milliseconds.
const CLOCK_WARNING_MS: i64 = 1_000;
/// Connections of a node besides `storage.connections`.
const BESIDES: i64 = 2;
/// A fuller queue of notifications is worth a warning; full, transactions that notify fail.
const QUEUE_WARNING: f64 = 0.25;

/// What was found.
pub fn examine(config: &Config, facts: &Result<ServerFacts, ServerTrouble>) -> Vec<Finding> {
    match facts {
        Ok(facts) => vec![
            version(facts),
            commit(facts),
            durability(facts),
            clock(facts),
            privileges(facts),
            connections(config, facts),
            notifications(config, facts),
            notification_queue(facts),
        ],
        Err(trouble) => vec![Finding::problem(
            "database",
            format!("cannot be used: {}", trouble.what),
            "check storage.url, and whether the database runs and lets this machine in",
        )],
    }
}

fn version(facts: &ServerFacts) -> Finding {
    let said = format!("is PostgreSQL {}", facts.version);
    if facts.version_number < VERSION_LEAST {
        return Finding::problem("database", said, "PostgreSQL 14 or newer is needed");
    }
    Finding::ok("database", said)
}

fn commit(facts: &ServerFacts) -> Finding {
    let said = format!("takes {:.1} ms, the way there and back included", facts.commit_ms);
    if facts.commit_ms > COMMIT_WARNING_MS {
        let advice = "every accepted event waits for a commit. Give the database a fast disk, and put it near the nodes";
        return Finding::warning("commit", said, advice);
    }
    Finding::ok("commit", said)
}

fn durability(facts: &ServerFacts) -> Finding {
    if facts.is_durable {
        return Finding::ok("durability", "synchronous_commit is not off");
    }
    Finding::problem(
        "durability",
        "synchronous_commit is off, so a crash of the database would lose what was accepted; nodes do not start",
        "ALTER SYSTEM SET synchronous_commit = on; SELECT pg_reload_conf(), or ALTER DATABASE … RESET synchronous_commit",
    )
}

fn clock(facts: &ServerFacts) -> Finding {
    let ahead = facts.clock_ahead_ms;
    let words = if ahead < 0 { "behind" } else { "ahead of" };
    let said = format!("the database's is {} ms {words} this machine's", ahead.abs());
    let advice = "set both clocks by NTP. Times that are stored or sent are the database's";
    match ahead.abs() {
        CLOCKS_APART_MS.. => Finding::problem("database clock", said, advice),
        CLOCK_WARNING_MS.. => Finding::warning("database clock", said, advice),
        _ => Finding::ok("database clock", said),
    }
}

fn privileges(facts: &ServerFacts) -> Finding {
    let ServerFacts { user, schema, .. } = facts;
    if facts.may_create {
        return Finding::ok("privileges", format!("{user} may create tables in the schema {schema}"));
    }
    Finding::problem(
        "privileges",
        format!("{user} may not create tables in the schema {schema}; partitions are tables"),
        format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO \"{user}\""),
    )
}

fn connections(config: &Config, facts: &ServerFacts) -> Finding {
    let own = i64::try_from(config.storage.connections).unwrap_or(i64::MAX).saturating_add(BESIDES);
    let ServerFacts { connections_allowed: allowed, connections_used: used, live_nodes, .. } = *facts;
    let said = format!("the database allows {allowed}, {used} are open; a node takes up to {own}");
    if own > allowed {
        let advice = "lower storage.connections, or raise max_connections in the database";
        return Finding::problem("connections", said, advice);
    }
    let nodes = live_nodes.max(1);
    if own.saturating_mul(nodes) > allowed {
        let advice = format!(
            "{nodes} nodes may take {} together: lower storage.connections, or raise max_connections in the database",
            own.saturating_mul(nodes)
        );
        return Finding::warning("connections", said, advice);
    }
    Finding::ok("connections", said)
}

fn notifications(config: &Config, facts: &ServerFacts) -> Finding {
    match facts.echo_ms {
        Some(ms) => Finding::ok("notifications", format!("arrive in {ms:.1} ms")),
        None => Finding::warning(
            "notifications",
            "do not arrive, so nodes look for work every 250 ms instead",
            if config.storage.listen_url.is_some() {
                "storage.listen_url must lead to the database itself, and not to a pooler in transaction mode"
            } else {
                "storage.url leads to a pooler in transaction mode: set storage.listen_url to the database itself"
            },
        ),
    }
}

fn notification_queue(facts: &ServerFacts) -> Finding {
    let said = format!("is {:.0} % full", facts.notification_queue * 100.0);
    if facts.notification_queue >= QUEUE_WARNING {
        let advice = "a session that listens has been in a transaction for long: SELECT pid, query, xact_start FROM \
                      pg_stat_activity ORDER BY xact_start";
        return Finding::warning("notification queue", said, advice);
    }
    Finding::ok("notification queue", said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    fn facts() -> ServerFacts {
        ServerFacts {
            version_number: 150_004,
            version: "15.4".to_owned(),
            user: "postrider".to_owned(),
            schema: "public".to_owned(),
            may_create: true,
            connections_allowed: 97,
            connections_used: 5,
            live_nodes: 2,
            is_durable: true,
            notification_queue: 0.0,
            commit_ms: 1.5,
            clock_ahead_ms: -3,
            echo_ms: Some(0.4),
        }
    }

    fn verdict(check: &str, facts: ServerFacts) -> Severity {
        let found = examine(&Config::default(), &Ok(facts));
        found.into_iter().find(|found| found.check == check).unwrap().severity
    }

    #[test]
    fn each_check_says_what_is_wrong_with_its_own_fact() {
        let all = examine(&Config::default(), &Ok(facts()));
        assert!(all.len() == 8 && all.iter().all(|found| found.severity == Severity::Ok), "{all:?}");
        use Severity::{Problem, Warning};
        for (check, facts, severity) in [
            ("database", ServerFacts { version_number: 130_012, ..facts() }, Problem),
            ("commit", ServerFacts { commit_ms: 21.0, ..facts() }, Warning),
            ("durability", ServerFacts { is_durable: false, ..facts() }, Problem),
            ("database clock", ServerFacts { clock_ahead_ms: -1_500, ..facts() }, Warning),
            ("database clock", ServerFacts { clock_ahead_ms: 3_600_000, ..facts() }, Problem),
            ("privileges", ServerFacts { may_create: false, ..facts() }, Problem),
            ("connections", ServerFacts { connections_allowed: 21, ..facts() }, Problem),
            ("connections", ServerFacts { live_nodes: 5, ..facts() }, Warning),
            ("notifications", ServerFacts { echo_ms: None, ..facts() }, Warning),
            ("notification queue", ServerFacts { notification_queue: 0.5, ..facts() }, Warning),
        ] {
            assert_eq!(verdict(check, facts), severity, "{check}");
        }
        let trouble = Err(ServerTrouble { what: "no route".to_owned() });
        let found = examine(&Config::default(), &trouble);
        assert!(found.len() == 1 && found[0].severity == Problem && found[0].detail.contains("no route"));
    }
}
