//! Which addresses a remote may lead us to: a redirect or realm of a public remote must not reach into our own network.
//! Enforced in the DNS resolver of each HTTP client, so a name is judged by the very addresses that are dialed.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Where clouds keep metadata services outside of the link-local network: Alibaba, Oracle, Azure; and AWS by IPv6.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// How near an address is; a remote leads at most as near as it is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Public,
    /// Private networks and this machine.
    Private,
    /// Link-local and wherever else clouds keep their metadata services, and what no server has.
    LinkLocal,
}

impl Reach {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => Self::of_v4(v4),
                None => Self::of_v6(v6),
            },
        }
    }

    fn of_v4(v4: Ipv4Addr) -> Self {
        let [a, b, ..] = v4.octets();
        let shared = a == 100 && (64..128).contains(&b); // RFC 6598
        let benchmark = a == 198 && (b & 0xfe) == 18; // RFC 2544
        if METADATA_V4.contains(&v4) || v4.is_link_local() || v4.is_multicast() || a >= 240 {
            Self::LinkLocal
        } else if v4.is_private() || v4.is_loopback() || a == 0 || shared || benchmark {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(v6: Ipv6Addr) -> Self {
        if v6 == METADATA_V6 || v6.is_unicast_link_local() || v6.is_multicast() {
            Self::LinkLocal
        } else if v6.is_unique_local() || v6.is_loopback() || v6.is_unspecified() {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn from_u8(value: u8) -> Self {
        match value {
            0 => Self::Public,
            1 => Self::Private,
            _ => Self::LinkLocal,
        }
    }
}

/// The IPv4 address behind an IPv6 one: mapped, NAT64 (`64:ff9b::/96`) or 6to4 (`2002::/16`).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(v4) = v6.to_ipv4_mapped() {
        return Some(v4);
    }
    let octets = v6.octets();
    let at = |i: usize| Ipv4Addr::new(octets[i], octets[i + 1], octets[i + 2], octets[i + 3]);
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        _ => None,
    }
}

/// An address or host that the remote may not lead to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("leads to `{0}`, an address that is closer than the remote itself, which is refused")]
pub(super) struct Refused(String);

/// The rule for one URL of a remote.
#[derive(Debug)]
pub(super) struct Guard {
    /// Host of the URL itself.
    home: String,
    /// The nearest address that `home` has: its own, or, of a name, among those of the last answer. A name never leads to
    /// link-local addresses, whatever it resolves to: who may change the name must not open them to redirects.
    home_reach: AtomicU8,
    /// Hosts that the operator named: trusted realms.
    named: HashSet<String>,
    /// The proxies' hosts: dialed, but never a place to be led to.
    proxies: HashSet<String>,
}

impl Guard {
    pub(super) fn new(home: &Url, named: &[String], proxies: HashSet<String>) -> Self {
        let reach = literal(home).map_or(Reach::Public, Reach::of);
        Self {
            home: home.host_str().unwrap_or_default().to_owned(),
            home_reach: AtomicU8::new(reach as u8),
            named: named.iter().map(|name| name.to_lowercase()).collect(),
            proxies,
        }
    }

    fn home_reach(&self) -> Reach {
        Reach::from_u8(self.home_reach.load(Ordering::Relaxed))
    }

    fn admits(&self, address: IpAddr) -> bool {
        Reach::of(address) <= self.home_reach()
    }

    /// Judges what a URL says by itself; names are judged when they are resolved.
    pub(super) fn check(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        if host == self.home || self.named.contains(host) {
            return Ok(());
        }
        let refused =
            literal(url).is_some_and(|ip| !self.admits(ip)) || self.proxies.contains(host);
        if refused {
            Err(Refused(host.to_owned()))
        } else {
            Ok(())
        }
    }

    /// Judges the addresses of a name, and learns what the remote itself is.
    fn filter(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        if name == self.home {
            let nearest = found.iter().map(|a| Reach::of(a.ip())).max();
            let nearest = nearest.unwrap_or(Reach::Public).min(Reach::Private);
            self.home_reach.store(nearest as u8, Ordering::Relaxed);
            return Ok(found);
        }
        if self.named.contains(name) || self.proxies.contains(name) {
            return Ok(found);
        }
        let admitted: Vec<_> = found.into_iter().filter(|a| self.admits(a.ip())).collect();
        if admitted.is_empty() {
            return Err(Refused(name.to_owned()));
        }
        Ok(admitted)
    }
}

/// The resolver of one HTTP client.
#[derive(Debug, Clone)]
pub(super) struct GuardedResolver(pub(super) Arc<Guard>);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let admitted = guard.filter(name.as_str(), found)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(home: &str) -> Guard {
        let home = home.parse().unwrap();
        Guard::new(
            &home,
            &["Auth.Corp".to_owned()],
            HashSet::from(["proxy".to_owned()]),
        )
    }

    fn led_to(home: &str, url: &str) -> bool {
        guard(home).check(&url.parse().unwrap()).is_ok()
    }

    fn resolved(guard: &Guard, name: &str, address: &str) -> bool {
        let found = vec![SocketAddr::new(address.parse().unwrap(), 0)];
        guard.filter(name, found).is_ok()
    }

    #[test]
    fn addresses_are_sorted_by_how_near_they_are() {
        for (address, reach) in [
            ("1.1.1.1", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("10.0.0.1", Reach::Private),
            ("172.16.3.4", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("127.0.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("0.0.0.0", Reach::Private),
            ("::1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("::ffff:10.0.0.1", Reach::Private),
            ("64:ff9b::a00:1", Reach::Private),
            ("2002:a00:1::", Reach::Private),
            ("169.254.169.254", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("::ffff:169.254.169.254", Reach::LinkLocal),
            ("224.0.0.1", Reach::LinkLocal),
            ("100.100.100.200", Reach::LinkLocal),
            ("::ffff:168.63.129.16", Reach::LinkLocal),
            ("fd00:ec2::254", Reach::LinkLocal),
        ] {
            assert_eq!(Reach::of(address.parse().unwrap()), reach, "{address}");
        }
    }

    #[test]
    fn a_public_remote_leads_to_public_addresses_only() {
        assert!(led_to("https://1.1.1.1/", "https://8.8.8.8/x"));
        assert!(!led_to("https://1.1.1.1/", "https://10.0.0.1/x"));
        assert!(!led_to("https://1.1.1.1/", "https://[::1]/x"));
        assert!(!led_to("https://registry.io/", "https://2130706433/x"));
        assert!(!led_to("https://registry.io/", "https://proxy/x"));
    }

    #[test]
    fn a_private_remote_leads_to_private_addresses_but_not_to_link_local_ones() {
        assert!(led_to("http://10.0.0.1/", "http://127.0.0.1:9000/x"));
        assert!(!led_to(
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data"
        ));
        assert!(led_to("http://169.254.1.1/", "http://169.254.1.1:81/x"));
    }

    #[test]
    fn a_name_is_judged_by_its_addresses_and_by_those_of_the_remote() {
        let guard = guard("https://registry.corp/");
        assert!(resolved(&guard, "cdn.example", "1.1.1.1"));
        assert!(!resolved(&guard, "cdn.example", "10.0.0.9"));
        assert!(resolved(&guard, "auth.corp", "10.0.0.8"));
        assert!(resolved(&guard, "registry.corp", "10.0.0.7"));
        assert!(resolved(&guard, "cdn.example", "10.0.0.9"));
        assert!(!resolved(&guard, "cdn.example", "169.254.169.254"));
    }

    #[test]
    fn what_a_name_opened_closes_with_its_next_addresses() {
        let guard = guard("https://registry.io/");
        assert!(resolved(&guard, "registry.io", "169.254.169.254"));
        assert!(!resolved(&guard, "cdn.example", "169.254.169.254"));
        assert!(resolved(&guard, "cdn.example", "10.0.0.9"));
        assert!(resolved(&guard, "registry.io", "1.1.1.1"));
        assert!(!resolved(&guard, "cdn.example", "10.0.0.9"));
    }
}
