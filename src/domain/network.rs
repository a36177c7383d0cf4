//! Which addresses may be reached (section 9 of the contract).
//!
//! Webhook URLs are chosen by tenants, who could make the server send requests into its own network.
//! Therefore every address that is not global unicast is blocked, unless the operator lists it in
//! `network.allow`. The tables are the complete IANA special-purpose registries (RFC 6890 and its updates),
//! including blocks that are globally reachable but serve a protocol (AS112, AMT): no webhook receiver uses
//! them.
//!
//! In IPv6 only 2000::/3 is allocated, so everything else is blocked; within it the special ranges, and every
//! form that embeds an IPv4 address.
//!
//! **What an entry of `network.allow` covers:** the addresses of its own family, literally. `127.0.0.0/8`
//! does not cover `::ffff:127.0.0.1`, which needs an entry of its own. Cloud metadata addresses return
//! credentials to any client, so a range never covers them, only the exact /32 or /128; the same is true for
//! IPv6 addresses that embed a metadata address.
//!
//! This module is pure: it classifies addresses and resolves nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The operator's list, and the rules above.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    allow: Vec<IpNet>,
}

/// Whether an address may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressVerdict {
    /// Global unicast: allowed.
    Global,
    /// Not global, but the operator listed it.
    Listed,
    /// Not to be reached.
    Blocked(Blocked),
}

/// An address that must not be reached. Its text names the setting to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{addr} is {class}; {}", self.advice())]
pub struct Blocked {
    /// The address.
    pub addr: IpAddr,
    /// Why it is blocked.
    pub class: AddressClass,
}

/// What kind of address it is, in words with an article: `a loopback address`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressClass(&'static str);

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Blocked {
    /// What the operator can do, as the second half of a sentence.
    pub fn advice(&self) -> String {
        let exact = IpNet::from(self.addr);
        if self.class == METADATA {
            format!("it is reached only if exactly {exact} is in network.allow")
        } else {
            format!("to let requests go there, add {exact} to network.allow")
        }
    }
}

impl NetworkPolicy {
    /// The policy with these exceptions (`network.allow`). With an empty list only global unicast
    /// addresses may be reached.
    pub fn new(allow: Vec<IpNet>) -> NetworkPolicy {
        NetworkPolicy { allow: allow.iter().map(IpNet::trunc).collect() }
    }

    /// Classifies an address.
    pub fn classify(&self, addr: IpAddr) -> AddressVerdict {
        let Some(class) = class_of(addr) else { return AddressVerdict::Global };
        let listed = if class == METADATA {
            self.allow.contains(&IpNet::from(addr))
        } else {
            self.allow.iter().any(|net| net.contains(&addr))
        };
        if listed { AddressVerdict::Listed } else { AddressVerdict::Blocked(Blocked { addr, class }) }
    }

    /// Checks an address. Fails if it is blocked.
    pub fn check(&self, addr: IpAddr) -> Result<(), Blocked> {
        match self.classify(addr) {
            AddressVerdict::Global | AddressVerdict::Listed => Ok(()),
            AddressVerdict::Blocked(blocked) => Err(blocked),
        }
    }

    /// Checks a URL whose host is an address literal, in any spelling. A name passes: its addresses are
    /// checked before each request, since they may change at any time.
    pub fn check_url_literal(&self, url: &Url) -> Result<(), Blocked> {
        match literal(url) {
            Some(addr) => self.check(addr),
            None => Ok(()),
        }
    }
}

/// A message about a name that leads to a blocked address, without that address: what may be shown to those
/// who must not learn about this machine's network. `None` if the message contains no such address.
pub fn without_address(message: &str) -> Option<String> {
    let (host, rest) = message.split_once(RESOLVES_TO)?;
    let (addr, rest) = rest.split_once(WHICH_IS)?;
    let _: IpAddr = addr.parse().ok()?;
    let (class, _) = rest.split_once("; ")?;
    Some(format!(
        "{host}{RESOLVES_TO}{class}; requests go there only if the operator allows it in network.allow"
    ))
}

/// What a message says between a name, its address and the class of it.
pub const RESOLVES_TO: &str = " resolves to ";
pub const WHICH_IS: &str = ", which is ";

/// The address literal in a URL, unless its host is a name.
pub fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(addr) => Some(IpAddr::V4(addr)),
        Host::Ipv6(addr) => Some(IpAddr::V6(addr)),
        Host::Domain(_) => None,
    }
}

/// Whether an address describes the operator's network: anything but global unicast.
pub fn is_private(addr: IpAddr) -> bool {
    class_of(addr).is_some()
}

/// Why an address is special; `None` for global unicast.
fn class_of(addr: IpAddr) -> Option<AddressClass> {
    match addr {
        IpAddr::V4(addr) => class_of_v4(addr),
        IpAddr::V6(addr) => class_of_v6(addr),
    }
}

fn class_of_v4(addr: Ipv4Addr) -> Option<AddressClass> {
    if METADATA_V4.contains(&addr) {
        return Some(METADATA);
    }
    SPECIAL_V4.iter().find(|(net, _)| net.contains(&addr)).map(|(_, class)| *class)
}

fn class_of_v6(addr: Ipv6Addr) -> Option<AddressClass> {
    let holds_metadata = carried_v4(addr).into_iter().flatten().any(|v4| METADATA_V4.contains(&v4));
    if METADATA_V6.contains(&addr) || holds_metadata {
        return Some(METADATA);
    }
    if let Some((_, class)) = SPECIAL_V6.iter().find(|(net, _)| net.contains(&addr)) {
        return Some(*class);
    }
    if is_isatap(addr) {
        return Some(AddressClass("an ISATAP address, which stands for an IPv4 one"));
    }
    (!GLOBAL_V6.contains(&addr)).then_some(AddressClass("outside of global unicast (2000::/3)"))
}

/// RFC 5214, section 6.1: the interface identifier is `0000:5efe` or `0200:5efe` and an IPv4 address.
fn is_isatap(addr: Ipv6Addr) -> bool {
    let s = addr.segments();
    s[4] & 0xfdff == 0 && s[5] == 0x5efe
}

/// The IPv4 addresses that are embedded in an IPv6 address, in any of the known forms.
fn carried_v4(addr: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let s = addr.segments();
    let pair = |i: usize| Ipv4Addr::from_bits((u32::from(s[i]) << 16) | u32::from(s[i + 1]));
    match s {
        // 6to4 (RFC 3056).
        [0x2002, ..] => [Some(pair(1)), None],
        // Teredo (RFC 4380): the server, and the client with all bits inverted.
        [0x2001, 0, ..] => [Some(pair(2)), Some(Ipv4Addr::from_bits(!pair(6).to_bits()))],
        // NAT64 with the well-known and the local-use prefix (RFC 6052, RFC 8215), mapped, compatible
        // and translated addresses (RFC 4291, RFC 2765): the last 32 bits.
        [0x64, 0xff9b, ..] | [0, 0, 0, 0, ..] => [Some(pair(6)), None],
        _ if is_isatap(addr) => [Some(pair(6)), None],
        _ => [None, None],
    }
}

/// Covered only by an exact entry.
const METADATA: AddressClass = AddressClass("a cloud metadata address");

/// Addresses where clouds give credentials to their machines.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254), // AWS, Google Cloud, Azure, OpenStack, DigitalOcean, Hetzner, …
    Ipv4Addr::new(169, 254, 170, 2),   // AWS ECS task credentials
    Ipv4Addr::new(169, 254, 170, 23),  // AWS EKS pod identity
    Ipv4Addr::new(169, 254, 0, 23),    // Tencent Cloud
    Ipv4Addr::new(169, 254, 42, 42),   // Scaleway
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba Cloud
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's wire server, an otherwise public address
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle Cloud
];

const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),  // AWS EKS pod identity
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google Cloud
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),   // Scaleway
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle Cloud
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // OpenStack
];

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8, class: &'static str) -> (Ipv4Net, AddressClass) {
    (Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len), AddressClass(class))
}

/// The IANA IPv4 special-purpose address registry, multicast, and reserved blocks. The first match wins.
const SPECIAL_V4: &[(Ipv4Net, AddressClass)] = &[
    v4(0, 0, 0, 0, 32, "the unspecified address"),
    v4(0, 0, 0, 0, 8, "an address of \"this network\""),
    v4(10, 0, 0, 0, 8, "a private address"),
    v4(100, 64, 0, 0, 10, "a shared (carrier-grade NAT) address"),
    v4(127, 0, 0, 0, 8, "a loopback address"),
    v4(169, 254, 0, 0, 16, "a link-local address"),
    v4(172, 16, 0, 0, 12, "a private address"),
    v4(192, 0, 0, 0, 24, "an address for IETF protocols"),
    v4(192, 0, 2, 0, 24, "a documentation address"),
    v4(192, 31, 196, 0, 24, "an AS112 address"),
    v4(192, 52, 193, 0, 24, "an AMT relay address"),
    v4(192, 88, 99, 0, 24, "a 6to4 relay address"),
    v4(192, 168, 0, 0, 16, "a private address"),
    v4(192, 175, 48, 0, 24, "an AS112 address"),
    v4(198, 18, 0, 0, 15, "a benchmarking address"),
    v4(198, 51, 100, 0, 24, "a documentation address"),
    v4(203, 0, 113, 0, 24, "a documentation address"),
    v4(224, 0, 0, 0, 4, "a multicast address"),
    v4(255, 255, 255, 255, 32, "the broadcast address"),
    v4(240, 0, 0, 0, 4, "a reserved address"),
];

const fn v6(start: [u16; 8], len: u8, class: &'static str) -> (Ipv6Net, AddressClass) {
    let [a, b, c, d, e, f, g, h] = start;
    (Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), len), AddressClass(class))
}

/// What IANA allocates as global unicast.
const GLOBAL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The IANA IPv6 special-purpose address registry, inside 2000::/3 and, for a better message, outside. The
/// first match wins.
const SPECIAL_V6: &[(Ipv6Net, AddressClass)] = &[
    v6([0, 0, 0, 0, 0, 0, 0, 0], 128, "the unspecified address"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "a loopback address"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "an IPv4-mapped address"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "an IPv4-translated address"),
    v6([0, 0, 0, 0, 0, 0, 0, 0], 96, "an IPv4-compatible address"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "a NAT64 address, which stands for an IPv4 one"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "a NAT64 address, which stands for an IPv4 one"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "a discard-only address"),
    v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "a dummy address"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "a Teredo address, which stands for an IPv4 one"),
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48, "a benchmarking address"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "an address for IETF protocols"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "a documentation address"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "a 6to4 address, which stands for an IPv4 one"),
    v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "an AS112 address"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "a documentation address"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "a segment routing (SRv6) address"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "a unique-local (private) address"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "a link-local address"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "a site-local address"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "a multicast address"),
];

#[cfg(test)]
mod tests;
