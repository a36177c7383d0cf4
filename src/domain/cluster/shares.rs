//! Which node is to hold which shard: evenly, to within one, with as few moves as that needs.
//!
//! Every node works this out alone, from the same rows, and comes to the same answer; each then does only its own part.

use std::collections::BTreeMap;

use crate::domain::cluster::NodeId;
use crate::domain::shard::SHARDS;

/// Who holds each shard.
pub type Holders = [Option<NodeId>; SHARDS];

/// Who is to hold each shard, of these nodes; `None` without any. Shards of other holders, and of none, are free to be
/// given to those that have too few.
pub fn shares(holders: &Holders, members: &[NodeId]) -> Option<[NodeId; SHARDS]> {
    let mut held: BTreeMap<NodeId, usize> = members.iter().map(|node| (*node, 0)).collect();
    for holder in holders.iter().flatten() {
        if let Some(count) = held.get_mut(holder) {
            *count += 1;
        }
    }
    let mut room = quotas(&held)?;
    let mut wanted = *holders;
    for holder in &mut wanted {
        // Those above its share are given away; the first ones stay.
        match holder.and_then(|node| room.get_mut(&node)) {
            Some(left) if *left > 0 => *left -= 1,
            _ => *holder = None,
        }
    }
    let mut takers = room.into_iter().flat_map(|(node, left)| std::iter::repeat_n(node, left));
    let mut all = [*held.keys().next()?; SHARDS];
    for (to, holder) in all.iter_mut().zip(wanted) {
        // There are as many places as shards.
        *to = match holder {
            Some(node) => node,
            None => takers.next()?,
        };
    }
    Some(all)
}

/// How many shards each node is to hold. Those that hold most get one more, where the number does not divide.
fn quotas(held: &BTreeMap<NodeId, usize>) -> Option<BTreeMap<NodeId, usize>> {
    let each = SHARDS.checked_div(held.len())?;
    let mut order: Vec<(NodeId, usize)> = held.iter().map(|(node, count)| (*node, *count)).collect();
    order.sort_by_key(|(node, count)| (std::cmp::Reverse(*count), *node));
    let more = SHARDS % held.len();
    let quota = |(at, (node, _)): (usize, (NodeId, usize))| (node, each + usize::from(at < more));
    Some(order.into_iter().enumerate().map(quota).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(all: &[NodeId; SHARDS]) -> BTreeMap<NodeId, usize> {
        let mut counts = BTreeMap::new();
        all.iter().for_each(|node| *counts.entry(*node).or_default() += 1);
        counts
    }

    fn moves(from: &Holders, to: &[NodeId; SHARDS]) -> usize {
        from.iter().zip(to).filter(|(from, to)| **from != Some(**to)).count()
    }

    #[test]
    fn nobody_gets_anything_where_there_is_nobody() {
        assert_eq!(shares(&[None; SHARDS], &[]), None);
        assert_eq!(shares(&[None; SHARDS], &[NodeId(5)]), Some([NodeId(5); SHARDS]));
    }

    #[test]
    fn a_node_that_joins_gets_its_share_and_nothing_else_moves() {
        let two = shares(&[None; SHARDS], &[NodeId(1), NodeId(2)]).unwrap();
        let three = shares(&two.map(Some), &[NodeId(1), NodeId(2), NodeId(3)]).unwrap();
        assert_eq!(moves(&two.map(Some), &three), 85);
        assert_eq!(counts(&three).into_values().collect::<Vec<_>>(), [86, 85, 85]);
    }

    proptest! {
        #[test]
        fn shares_are_even_need_few_moves_and_are_settled_after_them(
            holders in proptest::collection::vec(proptest::option::of(1i64..9), SHARDS),
            members in proptest::collection::btree_set(1i64..7, 1..6),
        ) {
            let members: Vec<NodeId> = members.into_iter().map(NodeId).collect();
            let holders: Holders = std::array::from_fn(|i| holders[i].map(NodeId));
            let all = shares(&holders, &members).unwrap();
            let counts = counts(&all);
            prop_assert!(counts.keys().all(|node| members.contains(node)));
            let of = |node: &NodeId| counts.get(node).copied().unwrap_or(0);
            let (most, least) = (members.iter().map(of).max().unwrap(), members.iter().map(of).min().unwrap());
            prop_assert!(most - least <= 1, "{most} and {least}");
            // At least what nobody holds has to move, and what is above a share.
            let held = |node: &NodeId| holders.iter().flatten().filter(|holder| *holder == node).count();
            let kept: usize = members.iter().map(|node| held(node).min(of(node))).sum();
            prop_assert_eq!(moves(&holders, &all), SHARDS - kept);
            prop_assert_eq!(shares(&all.map(Some), &members).unwrap(), all, "nothing more moves");
            let mut reversed = members.clone();
            reversed.reverse();
            prop_assert_eq!(shares(&holders, &reversed).unwrap(), all, "every node comes to the same");
        }
    }
}
