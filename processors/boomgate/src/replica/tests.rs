use super::owner;
use std::collections::BTreeMap;

fn owners(members: &[&str]) -> BTreeMap<u8, String> {
    let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
    (0..16).map(|group| (group, owner(&members, "entry", group).expect("somebody is alive").to_owned())).collect()
}

#[test]
fn groups_are_shared_and_few_move() {
    let (two, three) = (owners(&["a", "b"]), owners(&["a", "b", "c"]));
    for member in ["a", "b", "c"] {
        assert!(three.values().any(|owner| owner == member), "{member} owns nothing");
    }
    for (group, owner) in &three {
        assert!(owner == "c" || two[group] == *owner, "group {group} moved although its owner lives");
    }
}

#[test]
fn nobody_alive_owns_nothing() {
    assert_eq!(owner(&[], "entry", 0), None);
}
