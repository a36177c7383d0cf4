//! Which machine, start of it and process this is, so that a process that takes the place of another one knows whether
//! that one has ended.

use std::fs;

use uuid::Uuid;

/// A process, as others on its machine can check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The machine, and the room on it in which numbers of processes are valid (a container is one).
    pub machine: String,
    /// Of this start of the machine.
    pub boot: String,
    /// The number of the process, and when it was started.
    pub process: String,
}

impl Identity {
    /// That of this process. What cannot be read is unlike that of any other.
    pub fn own() -> Identity {
        let read = |path: &str| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let known = |text: Option<String>| {
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| Uuid::new_v4().to_string())
        };
        let id = read("/etc/machine-id").or_else(|| read("/var/lib/dbus/machine-id"));
        let room = fs::read_link("/proc/self/ns/pid").ok().map(|room| room.display().to_string());
        let machine = id.zip(room).map(|(id, room)| format!("{id} {room}"));
        let process = std::process::id();
        Identity {
            machine: known(machine),
            boot: known(read("/proc/sys/kernel/random/boot_id")),
            process: known(started(process).map(|started| format!("{process} {started}"))),
        }
    }
}

/// Whether a process of this machine and boot still runs.
pub fn is_running(process: &str) -> bool {
    let Some((number, since)) = process.split_once(' ') else { return true };
    match number.parse().map(started) {
        Ok(Some(started)) => started == since,
        Ok(None) => false,
        // Not one of ours: nobody knows.
        Err(_) => true,
    }
}

/// When a process was started, in the kernel's units; `None` if there is none that runs.
fn started(process: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program may hold anything, but ends with the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    // The 22nd field in all.
    let started = fields.nth(18)?;
    (!["Z", "X"].contains(&state)).then(|| started.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_until_it_ends() {
        let own = Identity::own();
        assert_eq!(own.machine, Identity::own().machine);
        assert!(is_running(&own.process));
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = format!("{} {}", child.id(), started(child.id()).unwrap());
        assert!(is_running(&process));
        assert!(!is_running(&format!("{} 1", child.id())), "another one had this number");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_running(&process));
        assert!(is_running("what nobody knows"));
    }
}
