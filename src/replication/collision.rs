//! Tags of several repositories that would go to one place. Pure.

use std::collections::{HashMap, HashSet};

use crate::{
    meta::Action,
    oci::{Digest, Name, Tag},
};

/// A tag that is to be sent, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shipment {
    pub(super) repository: Name,
    pub(super) destination: Name,
    pub(super) tag: Tag,
    pub(super) digest: Digest,
    pub(super) action: Action,
}

/// Marks what would overwrite each other: tags of one name, of several repositories, in one at the destination. Nothing
/// of it is sent, unless all of it is the same. Gives how many there are.
pub(super) fn mark(shipments: &mut [Shipment]) -> usize {
    let mut firsts: HashMap<(&Name, &Tag), (&Name, &Digest)> = HashMap::new();
    let mut collided: HashSet<(Name, Tag)> = HashSet::new();
    for shipment in shipments.iter() {
        let place = (&shipment.destination, &shipment.tag);
        let what = (&shipment.repository, &shipment.digest);
        let first = *firsts.entry(place).or_insert(what);
        if first.0 != what.0 && first.1 != what.1 {
            collided.insert((place.0.clone(), place.1.clone()));
        }
    }
    let mut count = 0;
    for shipment in shipments {
        let place = (shipment.destination.clone(), shipment.tag.clone());
        if collided.contains(&place) {
            shipment.action = Action::Collision;
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipment(repository: &str, destination: &str, tag: &str, content: &str) -> Shipment {
        Shipment {
            repository: repository.parse().unwrap(),
            destination: destination.parse().unwrap(),
            tag: tag.parse().unwrap(),
            digest: Digest::sha256(content.as_bytes()),
            action: Action::Copy,
        }
    }

    #[test]
    fn two_repositories_that_share_a_place_collide_in_the_tags_that_differ() {
        let mut shipments = [
            shipment("x/img", "ns/img", "1", "a"),
            shipment("y/img", "ns/img", "1", "b"),
            shipment("y/img", "ns/img", "2", "c"),
            shipment("x/img", "ns/img", "same", "d"),
            shipment("y/img", "ns/img", "same", "d"),
            shipment("x/other", "ns/other", "1", "e"),
        ];
        assert_eq!(mark(&mut shipments), 2);
        let collided = shipments
            .iter()
            .filter(|one| one.action == Action::Collision);
        let collided: Vec<_> = collided.map(|one| one.repository.as_str()).collect();
        assert_eq!(collided, ["x/img", "y/img"]);
    }

    #[test]
    fn a_hundred_thousand_tags_are_looked_through_in_no_time() {
        let shipments = (0..100_000).map(|number| {
            let repository = format!("p{}/r{}", number % 7, number % 1000);
            let destination = format!("ns/r{}", number % 1000);
            shipment(
                &repository,
                &destination,
                &format!("t{}", number / 1000),
                &repository,
            )
        });
        let mut shipments: Vec<_> = shipments.collect();
        let begun = std::time::Instant::now();
        assert_eq!(mark(&mut shipments), 0);
        // Debug builds are slow; the bar is 10 s for all of planning.
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }
}
