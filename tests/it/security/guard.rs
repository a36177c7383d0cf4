//! Addresses that must not be reached, in every spelling; and the registries of special addresses, written
//! down a second time, to check the policy.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use postrider::domain::network::NetworkPolicy;
use proptest::prelude::*;
use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::{json_body, send};

/// One address of each kind that is blocked, cloud metadata among them.
const TARGETS: [[u8; 4]; 14] = [
    [127, 0, 0, 1],
    [10, 1, 2, 3],
    [172, 16, 0, 1],
    [192, 168, 1, 1],
    [169, 254, 169, 254],
    [169, 254, 1, 1],
    [100, 64, 0, 1],
    [0, 0, 0, 0],
    [168, 63, 129, 16],
    [192, 0, 2, 1],
    [198, 18, 0, 1],
    [224, 0, 0, 1],
    [240, 0, 0, 1],
    [255, 255, 255, 255],
];

/// IPv6 hosts, and unusual notations of IPv4 addresses.
const OTHERS: &[&str] = &[
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[fe80::1]",
    "[febf:ffff::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]",
    "[ff02::1]",
    "[ff0e::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[4000::1]",
    "[::2]",
    "0",
    "00",
    "0x0",
    "0x",
    "①②⑦.⓪.⓪.①",
    "127.0.0.1%2e",
    "127.00000000000000000000000000000000001",
    "0x00000000000000000000007f.1",
];

fn each<T: AsRef<str>>(parts: impl IntoIterator<Item = T>, separator: &str) -> String {
    parts.into_iter().map(|p| p.as_ref().to_owned()).collect::<Vec<_>>().join(separator)
}

/// Every notation of an IPv4 address in the host of a URL.
fn spellings(octets: [u8; 4]) -> Vec<String> {
    let [a, b, c, d] = octets;
    let whole = u32::from_be_bytes(octets);
    let dotted = each(octets.map(|o| o.to_string()), ".");
    let low3 = whole & 0xff_ffff;
    let low2 = whole & 0xffff;
    let full_width = |text: &str| -> String {
        text.chars()
            .map(|ch| ch.to_digit(10).map_or(ch, |digit| char::from_u32(0xff10 + digit).expect("a digit")))
            .collect()
    };
    let percent = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let (high, low) = (whole >> 16, whole & 0xffff);
    vec![
        dotted.clone(),
        format!("{dotted}."),
        whole.to_string(),
        format!("{whole}."),
        format!("0x{whole:x}"),
        format!("0X{whole:08X}"),
        format!("0x00000000{whole:x}"),
        format!("0{whole:o}"),
        each(octets.map(|o| format!("0x{o:x}")), "."),
        each(octets.map(|o| format!("0{o:o}")), "."),
        each(octets.map(|o| format!("0000{o:o}")), "."),
        format!("0x{a:x}.0{b:o}.{c}.0x{d:X}"),
        format!("{a}.{low3}"),
        format!("{a}.{b}.{low2}"),
        format!("0x{a:x}.0x{low3:x}"),
        format!("0{a:o}.{b}.0{low2:o}"),
        full_width(&dotted),
        each(octets.map(|o| full_width(&o.to_string())), "。"),
        each(octets.map(|o| o.to_string()), "．"),
        each(octets.map(|o| o.to_string()), "｡"),
        percent(&dotted),
        each(octets.map(|o| o.to_string()), "%2e"),
        each(octets.map(|o| o.to_string()), "%E3%80%82"),
        // Inside IPv6: mapped, compatible, translated (three ways), 6to4, Teredo, ISATAP.
        format!("[::ffff:{dotted}]"),
        format!("[::FFFF:{high:X}:{low:X}]"),
        format!("[0:0:0:0:0:ffff:{dotted}]"),
        format!("[::{dotted}]"),
        format!("[::ffff:0:{dotted}]"),
        format!("[64:ff9b::{dotted}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{dotted}]"),
        format!("[2002:{high:x}:{low:x}::]"),
        format!("[2002:{high:x}:{low:x}::1]"),
        format!("[2001:0:102:304:0:0:{:x}:{:x}]", high ^ 0xffff, low ^ 0xffff),
        format!("[2001:0:{high:x}:{low:x}::1]"),
        format!("[2606:4700::5efe:{dotted}]"),
        format!("[2606:4700::200:5efe:{dotted}]"),
    ]
}

#[tokio::test]
async fn every_spelling_of_a_blocked_address_is_refused() {
    let app = TestApp::with(|c| {
        c.network.allow.clear();
        c.limits.requests_per_minute = 0;
    })
    .await;
    let mut hosts: Vec<String> = TARGETS.into_iter().flat_map(spellings).collect();
    hosts.extend(OTHERS.iter().map(|host| (*host).to_owned()));
    assert!(hosts.len() >= 120, "{}", hosts.len());
    let mut taken = Vec::new();
    for host in &hosts {
        let body = json!({ "url": format!("http://{host}:8080/x"), "events": ["*"] }).to_string();
        let answer = send(json_body(app.request(Method::POST, "/v1/webhooks"), body)).await;
        if answer.status != 422 || answer.json()["errors"][0]["source"]["pointer"] != "/url" {
            taken.push(format!("{host}: {} {}", answer.status, answer.text));
        }
    }
    assert!(taken.is_empty(), "{} of {}: {}", taken.len(), hosts.len(), taken.join("\n"));
}

#[tokio::test]
async fn the_same_spellings_of_a_global_address_are_accepted() {
    let app = TestApp::with(|c| {
        c.network.allow.clear();
        c.limits.requests_per_minute = 0;
    })
    .await;
    // All but the IPv6 forms. This shows that the test above refuses the address and not its spelling.
    for host in spellings([11, 22, 33, 44]).iter().filter(|host| !host.starts_with('[')) {
        let body = json!({ "url": format!("http://{host}:8080/x"), "events": ["*"] });
        app.post("/v1/webhooks", body).await.expect(201);
    }
}

/// The IANA registries of special-purpose addresses (RFC 6890 and its updates), as of 2025: what is not
/// "globally reachable", and multicast, which has registries of its own.
const V4_REGISTRY: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.0.8/32",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// The same for IPv6, where global unicast is 2000::/3 and nothing else (RFC 4291, section 2.4).
const V6_REGISTRY: &[&str] = &[
    "::/128",
    "::1/128",
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Addresses of well-known public services, to catch a rule that blocks too much.
const OPEN: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.9.9.9",
    "11.0.0.1",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "140.82.121.4",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2620:fe::fe",
    "2a00:1450:4001:80b::200e",
    "2a03:2880:f12f:83:face:b00c:0:25de",
];

fn passes(address: IpAddr) -> bool {
    NetworkPolicy::new(Vec::new()).check(address).is_ok()
}

#[test]
fn public_services_are_allowed() {
    for text in OPEN {
        assert!(passes(text.parse().expect("an address")), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn every_address_of_the_v4_registry_is_blocked(which in 0..V4_REGISTRY.len(), bits: u32) {
        let net: Ipv4Net = V4_REGISTRY[which].parse().expect("a network");
        let address = Ipv4Addr::from_bits(net.network().to_bits() | (bits & net.hostmask().to_bits()));
        prop_assert!(!passes(address.into()), "{address} of {net}");
    }

    #[test]
    fn every_address_of_the_v6_registry_is_blocked(which in 0..V6_REGISTRY.len(), bits: u128) {
        let net: Ipv6Net = V6_REGISTRY[which].parse().expect("a network");
        let address = Ipv6Addr::from_bits(net.network().to_bits() | (bits & net.hostmask().to_bits()));
        prop_assert!(!passes(address.into()), "{address} of {net}");
    }

    #[test]
    fn v6_addresses_outside_global_unicast_are_blocked(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        let is_global_unicast = (0x2000..0x4000).contains(&address.segments()[0]);
        prop_assert!(is_global_unicast || !passes(address.into()), "{address}");
    }

    #[test]
    fn addresses_that_the_standard_library_calls_special_are_blocked(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let is_special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
            || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
        prop_assert!(!(is_special && passes(v4.into())), "{v4}");
        prop_assert!(!passes(v4.to_ipv6_mapped().into()) && !passes(v4.to_ipv6_compatible().into()), "{v4}");
    }
}
