//! From where a request comes.
//!
//! Invariants
//! 1. What a client says of itself is not believed: `X-Forwarded-For` counts as far as proxies of ours have written it   (`tests::a_client_cannot_choose_its_address`).

use axum::http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr};

/// The proxies before us. Where there are none, the peer of a connection is the client.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpAddr>);

impl Proxies {
    /// These addresses are proxies of ours.
    pub fn new(proxies: impl IntoIterator<Item = IpAddr>) -> Self {
        Self(proxies.into_iter().map(|proxy| proxy.to_canonical()).collect())
    }

    /// Whether an address is one of them.
    pub fn have(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// The client of a request: the last of those who handed it on that is no proxy of ours.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all("x-forwarded-for").iter().rev().filter_map(|line| line.to_str().ok());
        for before in lines.flat_map(|line| line.rsplit(',')) {
            // The next one back was told by this one.
            if !self.0.contains(&client) {
                break;
            }
            let Ok(before) = before.trim().parse::<IpAddr>() else { break };
            client = before.to_canonical();
        }
        client
    }
}

/// What of an address counts as one client: of IPv6 the network, for whoever has one has 2^64 addresses of it.
pub fn counted(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_choose_its_address() {
        let proxies = Proxies::new(["10.0.0.1", "10.0.0.2"].map(|proxy| proxy.parse().expect("an address")));
        for (peer, lines, expected) in [
            ("7.7.7.7", &[][..], "7.7.7.7"),
            ("7.7.7.7", &["1.1.1.1"], "7.7.7.7"),
            ("::ffff:10.0.0.1", &["1.1.1.1, 7.7.7.7"], "7.7.7.7"),
            ("10.0.0.1", &["1.1.1.1, 7.7.7.7, 10.0.0.2"], "7.7.7.7"),
            ("10.0.0.1", &["1.1.1.1", "7.7.7.7"], "7.7.7.7"),
            ("10.0.0.1", &["7.7.7.7, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
        ] {
            let headers = lines.iter().map(|line| ("x-forwarded-for".parse().expect("a name"), line.parse().expect("a value"))).collect();
            let client = proxies.client(peer.parse().expect("an address"), &headers);
            assert_eq!(client.to_string(), expected, "{peer} {lines:?}");
        }
        assert_eq!(counted("2001:db8:1:2:3::4".parse().expect("an address")).to_string(), "2001:db8:1:2::");
    }
}
