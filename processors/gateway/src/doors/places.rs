//! How many connections one address holds at once.
//!
//! Invariants
//! 1. One address holds so many and no more, and may come again once one of them has ended   (`tests::one_address_holds_so_many_and_no_more`).
//! 2. A proxy of ours speaks for many: only the bound of all connections holds for it   (`tests::a_proxy_of_ours_is_not_bounded`).
//! 3. Who holds none is forgotten, so there is never more to remember than there are connections   (both).

use crate::address::{Proxies, counted};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The places of all addresses.
pub struct Places {
    proxies: Proxies,
    each_max: usize,
    held: Arc<Held>,
}

/// How many places each address holds that holds any.
#[derive(Default)]
struct Held(Mutex<BTreeMap<IpAddr, usize>>);

/// A place, until it is dropped.
pub struct Place(Option<(Arc<Held>, IpAddr)>);

impl Places {
    /// So many for each address that is no proxy of ours.
    pub fn new(proxies: Proxies, each_max: usize) -> Self {
        Self { proxies, each_max, held: Arc::default() }
    }

    /// A place for whoever comes from there; none where its address holds all that it may.
    pub fn take(&self, peer: IpAddr) -> Option<Place> {
        if self.proxies.have(peer) {
            return Some(Place(None));
        }
        let address = counted(peer.to_canonical());
        let mut held = self.held.lock();
        let has = held.get(&address).copied().unwrap_or(0);
        if has >= self.each_max {
            return None;
        }
        held.insert(address, has + 1);
        Some(Place(Some((self.held.clone(), address))))
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((held, address)) = &self.0 else { return };
        if let Entry::Occupied(mut has) = held.lock().entry(*address) {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn places(each_max: usize) -> Places {
        Places::new(Proxies::new([address("10.0.0.1")]), each_max)
    }

    #[test]
    fn one_address_holds_so_many_and_no_more() {
        let places = places(2);
        let mut held: Vec<Place> = ["7.7.7.7", "::ffff:7.7.7.7"].iter().filter_map(|peer| places.take(address(peer))).collect();
        assert_eq!(held.len(), 2);
        assert!(places.take(address("7.7.7.7")).is_none(), "it holds all that it may, however its address is written");
        held.extend(places.take(address("7.7.7.8")));
        // Of IPv6 a network counts as one.
        held.extend(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"].iter().filter_map(|peer| places.take(address(peer))));
        assert_eq!(held.len(), 6, "another has its own");
        held.remove(0);
        held.extend(places.take(address("7.7.7.7")));
        assert_eq!(held.len(), 6, "one has ended, and one may come");
        assert!(places.take(address("7.7.7.7")).is_none());
        drop(held);
        assert!(places.held.lock().is_empty());
    }

    #[test]
    fn a_proxy_of_ours_is_not_bounded() {
        let places = places(2);
        let held: Vec<Place> = (0..100).filter_map(|_| places.take(address("::ffff:10.0.0.1"))).collect();
        assert_eq!((held.len(), places.held.lock().len()), (100, 0));
    }
}
