//! Tables of addresses and spellings, and a second formulation of the rule to compare with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use url::Url;

use super::{AddressVerdict, NetworkPolicy};

fn policy(allow: &[&str]) -> NetworkPolicy {
    NetworkPolicy::new(allow.iter().map(|net| net.parse().unwrap()).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Blocked addresses, with a word of the message: first, last and inner addresses of each range.
const BLOCKED: &[(&str, &str)] = &[
    ("0.0.0.0", "unspecified"),
    ("0.0.0.1", "this network"),
    ("0.255.255.255", "this network"),
    ("10.0.0.0", "private"),
    ("10.1.2.3", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.0", "shared"),
    ("100.100.100.199", "shared"),
    ("100.127.255.255", "shared"),
    ("127.0.0.0", "loopback"),
    ("127.0.0.1", "loopback"),
    ("127.0.1.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("169.254.0.0", "link-local"),
    ("169.254.169.253", "link-local"),
    ("169.254.255.255", "link-local"),
    ("172.16.0.0", "private"),
    ("172.17.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.0", "IETF"),
    ("192.0.0.8", "IETF"),
    ("192.0.0.9", "IETF"),
    ("192.0.0.170", "IETF"),
    ("192.0.0.255", "IETF"),
    ("192.0.2.0", "documentation"),
    ("192.0.2.255", "documentation"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4"),
    ("192.88.99.2", "6to4"),
    ("192.168.0.0", "private"),
    ("192.168.255.255", "private"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.0", "documentation"),
    ("198.51.100.255", "documentation"),
    ("203.0.113.0", "documentation"),
    ("203.0.113.255", "documentation"),
    ("224.0.0.0", "multicast"),
    ("224.0.0.251", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.0", "reserved"),
    ("250.1.2.3", "reserved"),
    ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("169.254.169.254", "metadata"),
    ("169.254.170.2", "metadata"),
    ("169.254.170.23", "metadata"),
    ("169.254.0.23", "metadata"),
    ("169.254.42.42", "metadata"),
    ("100.100.100.200", "metadata"),
    ("168.63.129.16", "metadata"),
    ("192.0.0.192", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("fd00:ec2::23", "metadata"),
    ("fd20:ce::254", "metadata"),
    ("fd00:42::42", "metadata"),
    ("fd00:c1::a9fe:a9fe", "metadata"),
    ("fe80::a9fe:a9fe", "metadata"),
    ("::ffff:169.254.169.254", "metadata"),
    ("::ffff:168.63.129.16", "metadata"),
    ("::169.254.169.254", "metadata"),
    ("::ffff:0:169.254.169.254", "metadata"),
    ("64:ff9b::169.254.169.254", "metadata"),
    ("64:ff9b:1::169.254.169.254", "metadata"),
    ("2002:a9fe:a9fe::1", "metadata"),
    ("2001:0:a9fe:a9fe::1", "metadata"),
    ("2001::5601:5601", "metadata"),
    ("2606:4700::5efe:a9fe:a9fe", "metadata"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::2", "compatible"),
    ("::7f00:1", "compatible"),
    ("::8.8.8.8", "compatible"),
    ("::ffff:0.0.0.0", "mapped"),
    ("::ffff:127.0.0.1", "mapped"),
    ("::ffff:10.0.0.1", "mapped"),
    ("::ffff:8.8.8.8", "mapped"),
    ("::ffff:255.255.255.255", "mapped"),
    ("::ffff:0:127.0.0.1", "translated"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b::8.8.8.8", "NAT64"),
    ("64:ff9b:1::1", "NAT64"),
    ("64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "NAT64"),
    ("64:ff9b:2::1", "global unicast"),
    ("100::", "discard"),
    ("100::1", "discard"),
    ("100:0:0:1::1", "dummy"),
    ("100:0:0:2::1", "global unicast"),
    ("200::1", "global unicast"),
    ("1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "global unicast"),
    ("2001::1", "Teredo"),
    ("2001:0:5ef5:79fb::1", "Teredo"),
    ("2001:1::1", "IETF"),
    ("2001:2::1", "benchmarking"),
    ("2001:3::1", "IETF"),
    ("2001:4:112::1", "IETF"),
    ("2001:10::1", "IETF"),
    ("2001:20::1", "IETF"),
    ("2001:30::1", "IETF"),
    ("2001:1ff:ffff::1", "IETF"),
    ("2001:db8::", "documentation"),
    ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "documentation"),
    ("2002::1", "6to4"),
    ("2002:7f00:1::", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff::1", "documentation"),
    ("3fff:fff:ffff::1", "documentation"),
    ("2606:4700::5efe:7f00:1", "ISATAP"),
    ("2606:4700::200:5efe:8.8.8.8", "ISATAP"),
    ("4000::1", "global unicast"),
    ("5f00::1", "SRv6"),
    ("8000::1", "global unicast"),
    ("fc00::1", "unique-local"),
    ("fd12:3456::1", "unique-local"),
    ("fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unique-local"),
    ("fe00::1", "global unicast"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fe80::5efe:7f00:1", "link-local"),
    ("fec0::1", "site-local"),
    ("feff::1", "site-local"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
];

/// Neighbours of the ranges above, and well-known public addresses.
const GLOBAL: &[&str] = &[
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.195.255",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2620:4f:8001::1",
    "2a00:1450:4001:81b::200e",
    "3ffe:ffff::1",
    "3fff:1000::1",
    "2606:4700::1:5efe:7f00:1",
];

#[test]
fn every_special_address_is_blocked_and_named() {
    for (text, word) in BLOCKED {
        let blocked = policy(&[]).check(ip(text)).expect_err(text).to_string();
        assert!(blocked.contains(word), "{text}: {blocked}");
        assert!(blocked.contains("network.allow"), "{text}: {blocked}");
    }
}

#[test]
fn global_unicast_is_allowed_without_an_entry() {
    for text in GLOBAL {
        assert_eq!(policy(&[]).classify(ip(text)), AddressVerdict::Global, "{text}");
    }
}

#[test]
fn the_message_names_the_entry_to_add() {
    let message = |text| policy(&[]).check(ip(text)).unwrap_err().to_string();
    assert_eq!(
        message("127.0.0.1"),
        "127.0.0.1 is a loopback address; to let requests go there, add 127.0.0.1/32 to network.allow"
    );
    assert_eq!(
        message("169.254.169.254"),
        "169.254.169.254 is a cloud metadata address; it is reached only if exactly 169.254.169.254/32 is in network.allow"
    );
    assert!(message("fd12::1").ends_with("add fd12::1/128 to network.allow"));
}

#[test]
fn the_entry_that_the_message_names_allows_exactly_that_address() {
    for (text, _) in BLOCKED {
        let addr = ip(text);
        let policy = NetworkPolicy::new(vec![addr.into()]);
        assert_eq!(policy.classify(addr), AddressVerdict::Listed, "{text}");
        let others = BLOCKED.iter().filter(|(other, _)| ip(other) != addr);
        for (other, _) in others {
            assert!(policy.check(ip(other)).is_err(), "{text} listed, {other} passes");
        }
    }
}

#[test]
fn a_range_covers_its_addresses_but_never_metadata() {
    let everything = policy(&["0.0.0.0/0", "::/0"]);
    for (text, word) in BLOCKED {
        assert_eq!(everything.check(ip(text)).is_err(), *word == "metadata", "{text}");
    }
    let near = policy(&["169.254.0.0/16", "169.254.169.254/31", "fd00:ec2::/32", "::ffff:0:0/96"]);
    assert!(near.check(ip("169.254.1.1")).is_ok());
    for text in ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254"] {
        assert!(near.check(ip(text)).is_err(), "{text}");
    }
}

#[test]
fn an_entry_with_host_bits_means_its_network() {
    assert!(policy(&["10.1.2.3/8"]).check(ip("10.200.0.1")).is_ok());
    // A range that merely starts at a metadata address is still a range.
    assert!(policy(&["169.254.169.254/16"]).check(ip("169.254.169.254")).is_err());
}

#[test]
fn an_entry_covers_addresses_of_its_own_family_only() {
    let v4 = policy(&["127.0.0.0/8", "169.254.169.254/32"]);
    for text in ["::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::1"] {
        assert!(v4.check(ip(text)).is_err(), "{text}");
    }
    assert!(v4.check(ip("::ffff:169.254.169.254")).is_err());
    assert!(policy(&["::ffff:127.0.0.0/104"]).check(ip("::ffff:127.0.0.1")).is_ok());
    assert!(policy(&["::ffff:127.0.0.0/104"]).check(ip("127.0.0.1")).is_err());
}

/// Ways to write a blocked address in a URL.
const SPELLINGS: &[&str] = &[
    "http://127.0.0.1/",
    "http://127.0.0.1./",
    "http://127.1/",
    "http://127.0.1/",
    "http://127.65535/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0X7F000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://00000177.1/",
    "http://017700000001/",
    "http://0177.0x0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://127．0．0．1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://0/",
    "http://0.0.0.0/",
    "http://0x0/",
    "http://00/",
    "http://[::]/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000::0001]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::FFFF:7F00:0001]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[2002:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fd00::1]:8080/x",
    "https://10.1/",
    "https://192.168.257/",
    "https://0xc0a80001/",
    "https://3232235521/",
    "https://0xa9fea9fe/",
    "https://2852039166/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::a9fe:a9fe]/latest/meta-data",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1:80\\@example.com/",
    "http:127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "http://127.0.0.1?@example.com",
    "http://127.0.0.1#@example.com",
    "http://4294967295/",
    "http://[ff02::1]/",
];

#[test]
fn every_spelling_of_a_blocked_address_in_a_url_is_found() {
    for text in SPELLINGS {
        let url = Url::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert!(policy(&[]).check_url_literal(&url).is_err(), "{text} is {:?}", url.host());
    }
}

#[test]
fn invalid_addresses_are_invalid_urls() {
    for text in ["http://127.0.0.256/", "http://4294967296/", "http://0x1.2.3.4.5/", "http://[::1%25lo]/"] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
}

#[test]
fn names_and_global_literals_are_accepted_at_creation() {
    for text in ["https://localhost/", "https://example.com/", "https://8.8.8.8/", "https://[2606:4700::1]/"]
    {
        assert!(policy(&[]).check_url_literal(&Url::parse(text).unwrap()).is_ok(), "{text}");
    }
    let url = Url::parse("http://0x7f.1:8080/").unwrap();
    assert!(policy(&["127.0.0.0/8"]).check_url_literal(&url).is_ok());
}

/// The rule once more, with masks on bits instead of a list of networks: `true` is global unicast.
fn is_global_v4(addr: u32) -> bool {
    let top = |bits: u32| addr >> (32 - bits);
    let (a, b, c) = (top(8), top(16), top(24));
    let blocked = a == 0
        || a == 10
        || a == 127
        || a >= 224
        || top(10) == 0b01_1001_0001
        || b == 0xa9fe
        || top(12) == 0xac1
        || b == 0xc0a8
        || top(15) == 0xc612 >> 1
        || matches!(c, 0xc0_0000 | 0xc0_0002 | 0xc0_1fc4 | 0xc0_34c1 | 0xc0_5863 | 0xc0_af30)
        || matches!(c, 0xc6_3364 | 0xcb_0071)
        || addr == 0xa83f_8110;
    !blocked
}

/// The same for IPv6.
fn is_global_v6(addr: u128) -> bool {
    let top = |bits: u32| addr >> (128 - bits);
    let isatap = (addr >> 32) as u32 & 0xfdff_ffff == 0x0000_5efe;
    let special = top(23) == 0x2001_0000 >> 9
        || top(32) == 0x2001_0db8
        || top(16) == 0x2002
        || top(48) == 0x2620_004f_8000
        || top(20) == 0x3fff0;
    top(3) == 0b001 && !special && !isatap
}

/// Addresses that crowd around the edges of the ranges, where mistakes live.
fn any_v4() -> impl Strategy<Value = u32> {
    let near = prop::sample::select(
        BLOCKED
            .iter()
            .map(|(t, _)| *t)
            .chain(GLOBAL.iter().copied())
            .filter(|t| !t.contains(':'))
            .collect::<Vec<_>>(),
    )
    .prop_flat_map(|text| {
        let base: Ipv4Addr = text.parse().unwrap();
        (Just(base.to_bits()), 0u32..32, any::<u32>())
    })
    .prop_map(|(base, bits, noise)| base ^ (noise >> bits));
    prop_oneof![any::<u32>(), near]
}

fn any_v6() -> impl Strategy<Value = u128> {
    let near = prop::sample::select(
        BLOCKED
            .iter()
            .map(|(t, _)| *t)
            .chain(GLOBAL.iter().copied())
            .filter(|t| t.contains(':'))
            .collect::<Vec<_>>(),
    )
    .prop_flat_map(|text| {
        let base: Ipv6Addr = text.parse().unwrap();
        (Just(base.to_bits()), 0u32..128, any::<u128>())
    })
    .prop_map(|(base, bits, noise)| base ^ (noise >> bits));
    prop_oneof![any::<u128>(), near]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn two_implementations_agree_on_v4(bits in any_v4()) {
        let addr = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(policy(&[]).check(addr.into()).is_ok(), is_global_v4(bits), "{}", addr);
    }

    #[test]
    fn two_implementations_agree_on_v6(bits in any_v6()) {
        let addr = Ipv6Addr::from_bits(bits);
        prop_assert_eq!(policy(&[]).check(addr.into()).is_ok(), is_global_v6(bits), "{}", addr);
    }

    #[test]
    fn an_embedded_v4_address_is_blocked(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        for text in [
            format!("::ffff:{v4}"), format!("::{v4}"), format!("::ffff:0:{v4}"), format!("64:ff9b::{v4}"),
            format!("64:ff9b:1::{v4}"), format!("2606:4700::5efe:{v4}"),
            format!("2002:{:x}:{:x}::1", bits >> 16, bits & 0xffff),
        ] {
            prop_assert!(policy(&["0.0.0.0/0"]).check(ip(&text)).is_err(), "{}", text);
        }
    }
}
