//! Which addresses something that somebody else's name stands for may be sent to (OWASP API7). The whole internet, unless it
//! leads back inside: to this machine, its neighbours, the cloud's own services, or to what is no place at all. Pure; the
//! table is by the special-purpose registries of IANA (RFC 6890 and those that came later), and what it does not know among
//! the addresses of IPv6 is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin alike. Those of IPv4 are held as IPv6 maps them, so that both spellings are one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u32,
}

/// Which addresses are taken.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<Network>,
}

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Out into the internet.
    Outside,
    /// To this machine or a network of one's own: only where that network was named.
    Inside,
    /// Nowhere that anything is delivered to, whatever was named.
    Nowhere,
}

/// Networks of one's own: this machine, private ones, shared address space, unique local ones.
const INSIDE: &[Network] = &[
    v4([127, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
];

/// Where nothing goes. The first lines are what clouds answer their machines at with credentials and configuration, some of
/// them within networks that an operator may have named.
const NOWHERE: &[Network] = &[
    v4([100, 100, 100, 200], 32),
    v4([168, 63, 129, 16], 32),
    v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0], 32),
    v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128),
    v4([0, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    v4([224, 0, 0, 0], 4),
    v4([240, 0, 0, 0], 4),
    // Teredo, benchmarking, ORCHID and other protocols' own; documentation; 6to4.
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

/// All of IPv4.
const MAPPED: Network = v4([0, 0, 0, 0], 0);
/// What was given out for use in the internet.
const GLOBAL: Network = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// Where an IPv6-only network finds addresses of IPv4 (RFC 6052).
const NAT64: Network = v6([0x0064, 0xff9b, 0, 0, 0, 0, 0, 0], 96);

const fn v4(octets: [u8; 4], prefix: u32) -> Network {
    let [a, b, c, d] = octets;
    Network {
        bits: Ipv4Addr::new(a, b, c, d).to_ipv6_mapped().to_bits(),
        prefix: 96 + prefix,
    }
}

const fn v6(words: [u16; 8], prefix: u32) -> Network {
    let [a, b, c, d, e, f, g, h] = words;
    Network {
        bits: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(),
        prefix,
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn reach(address: u128) -> Reach {
    let is_in = |table: &[Network]| table.iter().any(|network| network.holds(address));
    if is_in(NOWHERE) {
        Reach::Nowhere
    } else if is_in(INSIDE) {
        Reach::Inside
    } else if MAPPED.holds(address) || GLOBAL.holds(address) {
        Reach::Outside
    } else if NAT64.holds(address) {
        // The translator may stand inside: what it is asked for must be outside by its own address.
        match reach(MAPPED.bits | (address & u128::from(u32::MAX))) {
            Reach::Outside => Reach::Outside,
            Reach::Inside | Reach::Nowhere => Reach::Nowhere,
        }
    } else {
        Reach::Nowhere
    }
}

impl Network {
    fn holds(&self, address: u128) -> bool {
        let below = u128::BITS - self.prefix;
        let differing = self.bits ^ address;
        differing.checked_shr(below).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = String;

    /// Reads such as `10.1.0.0/16`: a network of one's own, for every other is reached, or not, whatever is named.
    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "is no network, write such as `10.1.0.0/16` or `127.0.0.1/32`".to_owned();
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let is_short = prefix.len() <= 3 && prefix.bytes().all(|digit| digit.is_ascii_digit());
        let prefix: u32 = prefix.parse().ok().filter(|_| is_short).ok_or_else(form)?;
        let (most, before) = match address {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        if prefix > most {
            return Err(form());
        }
        let network = Self {
            bits: bits(address),
            prefix: before + prefix,
        };
        let host = u128::MAX.checked_shr(network.prefix).unwrap_or(0);
        if network.bits & host != 0 {
            return Err(format!(
                "has bits set behind /{prefix}: write the first address of the network"
            ));
        }
        let is_inside = |own: &Network| own.prefix <= network.prefix && own.holds(network.bits);
        if !INSIDE.iter().any(is_inside) {
            return Err(
                "is no network of your own (127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, \
                 ::1/128, fc00::/7, or within one of them); public addresses need no entry"
                    .to_owned(),
            );
        }
        Ok(network)
    }
}

impl Guard {
    /// Takes what is outside, and what is in these networks of one's own.
    #[must_use]
    pub fn allowing(allowed: Vec<Network>) -> Self {
        Self { allowed }
    }

    /// Whether anything may be sent to this address.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let address = bits(address);
        match reach(address) {
            Reach::Outside => true,
            Reach::Inside => self.allowed.iter().any(|network| network.holds(address)),
            Reach::Nowhere => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p25_only_what_leads_outside_is_taken() {
        let guard = Guard::default();
        for (text, wanted) in [
            ("8.8.8.8", true),
            ("1.1.1.1", true),
            ("9.255.255.255", true),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("126.255.255.255", true),
            ("128.0.0.0", true),
            ("172.15.255.255", true),
            ("172.32.0.0", true),
            ("192.167.255.255", true),
            ("192.169.0.0", true),
            ("198.17.255.255", true),
            ("198.20.0.0", true),
            ("223.255.255.255", true),
            ("2606:4700:4700::1111", true),
            ("2a00:1450:4001:80b::200e", true),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::8.8.8.8", true),
            ("2001:200::1", true),
            ("3ffe::1", true),
            // The edges from within.
            ("10.0.0.0", false),
            ("10.255.255.255", false),
            ("100.64.0.0", false),
            ("100.127.255.255", false),
            ("127.0.0.0", false),
            ("127.255.255.255", false),
            ("172.16.0.0", false),
            ("172.31.255.255", false),
            ("198.18.0.0", false),
            ("198.19.255.255", false),
            ("224.0.0.0", false),
            ("255.255.255.255", false),
            ("64:ff9b::a9fe:a9fe", false),
            ("64:ff9b:1::8.8.8.8", false),
            ("2001:1ff:ffff::1", false),
            ("::8.8.8.8", false),
            ("4000::1", false),
            ("fe80::1", false),
            ("fec0::1", false),
        ] {
            assert_eq!(guard.admits(text.parse().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn p25_a_network_of_ones_own_is_taken_where_it_is_named_and_no_further() {
        let named = ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8", "100.64.0.0/10"];
        let guard = Guard::allowing(named.map(|text| text.parse().unwrap()).to_vec());
        for (text, wanted) in [
            ("10.1.0.1", true),
            ("::ffff:10.1.255.255", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fc00::1", false),
            ("100.64.1.1", true),
            // What the cloud tells its machines stays there.
            ("100.100.100.200", false),
            ("fd00:ec2::254", false),
            ("fd20:ce::254", false),
            ("169.254.169.254", false),
            ("64:ff9b::10.1.0.1", false),
        ] {
            assert_eq!(guard.admits(text.parse().unwrap()), wanted, "{text}");
        }
    }

    #[test]
    fn a_network_that_is_none_of_ones_own_cannot_be_named() {
        for good in ["10.0.0.0/8", "::1/128", "fc00::/7", "192.168.7.0/24"] {
            assert!(good.parse::<Network>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/0008",
            "10.0.0.1/8",
            "10.0.0.0/7",
            "0.0.0.0/0",
            "::/0",
            "169.254.0.0/16",
            "8.8.8.0/24",
            "fe80::/10",
            "crm.internal/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
