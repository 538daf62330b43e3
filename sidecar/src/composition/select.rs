//! Which part answers a question: by a value of the request, or by a share of the users. Pure.

use answering::{Ask, Query};
use sidecar_contract::{
    Digest,
    composition::{Split, Switch, SwitchBy, SwitchField},
};

/// The part that a switch selects.
pub fn switched<'a>(switch: &'a Switch, ask: &Ask) -> &'a str {
    let value = match &switch.by {
        SwitchBy::Header(name) => ask.context.segment(name),
        SwitchBy::Field(SwitchField::User) => user(&ask.query),
        SwitchBy::Field(SwitchField::Query) => Some(kind(&ask.query)),
    };
    let case = value.and_then(|value| switch.cases.iter().find(|case| case.value == value));
    case.map_or(switch.default.as_str(), |case| case.part.as_str())
}

/// The part of a split to which the user belongs; without a user, that of the history or of the
/// item. `None` only for a split without shares.
pub fn shared<'a>(split: &'a Split, query: &Query) -> Option<&'a str> {
    let total: u64 = split.parts.iter().map(|part| u64::from(part.share)).sum();
    let hash = hash(&split.salt, query);
    // The hash as a fraction of 2^64, of the sum of shares: no share is off by more than 2^-64.
    let position = u64::try_from((u128::from(hash) * u128::from(total)) >> 64).ok()?;
    let mut end = 0;
    let part = split.parts.iter().find(|part| {
        end += u64::from(part.share);
        position < end
    });
    part.map(|part| part.name.as_str())
}

/// The first 64 bits of SHA-256 over salt and id, separated by a zero byte. Users, histories and
/// items have different prefixes.
fn hash(salt: &str, query: &Query) -> u64 {
    let mut text = salt.as_bytes().to_vec();
    match query {
        Query::Recommend { user: Some(user), .. } => {
            text.extend_from_slice(b"\0u\0");
            text.extend_from_slice(user.as_bytes());
        }
        Query::Recommend { user: None, history } => {
            text.extend_from_slice(b"\0h");
            for entry in history {
                text.push(0);
                text.extend_from_slice(entry.item.as_bytes());
            }
        }
        Query::Similar { item } => {
            text.extend_from_slice(b"\0i\0");
            text.extend_from_slice(item.as_bytes());
        }
    }
    let digest = Digest::of(&text);
    // The digest has 64 hex digits.
    digest.as_str().get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0)
}

fn user(query: &Query) -> Option<&str> {
    match query {
        Query::Recommend { user, .. } => user.as_deref(),
        Query::Similar { .. } => None,
    }
}

fn kind(query: &Query) -> &'static str {
    match query {
        Query::Recommend { user: Some(_), .. } => "user",
        Query::Recommend { user: None, .. } => "history",
        Query::Similar { .. } => "item",
    }
}

#[cfg(test)]
mod tests {
    use answering::{HistoryEntry, RequestId};
    use sidecar_contract::composition::{SharedPart, SwitchCase};

    use super::*;

    fn of_user(user: impl Into<String>) -> Query {
        Query::Recommend { user: Some(user.into()), history: Vec::new() }
    }

    fn of_history(items: &[&str]) -> Query {
        let entry = |item: &&str| HistoryEntry { item: (*item).to_owned(), rating: None };
        Query::Recommend { user: None, history: items.iter().map(entry).collect() }
    }

    fn split(salt: &str, shares: &[(&str, u32)]) -> Split {
        let part = |(name, share): &(&str, u32)| SharedPart { name: (*name).to_owned(), share: *share };
        Split { parts: shares.iter().map(part).collect(), salt: salt.to_owned() }
    }

    #[test]
    fn the_shares_of_100000_users_are_within_half_a_percent() {
        let split = split("spring", &[("a", 50), ("b", 30), ("c", 20)]);
        let mut counts = std::collections::BTreeMap::<&str, u32>::new();
        for user in 0..100_000 {
            *counts.entry(shared(&split, &of_user(format!("user{user}"))).unwrap()).or_default() += 1;
        }
        for (part, expected) in [("a", 50_000_u32), ("b", 30_000), ("c", 20_000)] {
            assert!(counts[part].abs_diff(expected) <= 500, "{part}: {}", counts[part]);
        }
    }

    #[test]
    fn the_part_of_a_user_is_that_of_a_published_hash() {
        // SHA-256 of "spring", 0, "u", 0, "alice", by sha256sum: its first 64 bits as a fraction.
        let split = split("spring", &[("low", 1), ("high", 1)]);
        assert_eq!(hash("spring", &of_user("alice")), ALICE);
        assert_eq!(shared(&split, &of_user("alice")), Some(if ALICE >> 63 == 0 { "low" } else { "high" }));
    }

    /// `printf 'spring\0u\0alice' | sha256sum | cut -c1-16`.
    const ALICE: u64 = 0xd4bc_bc6e_8403_39fc;

    #[test]
    fn another_salt_assigns_users_anew_and_a_history_is_not_a_user() {
        let parts = &[("a", 1), ("b", 1)];
        let (one, two) = (split("", parts), split("2", parts));
        let moved = (0..1000).filter(|user| {
            let query = of_user(user.to_string());
            shared(&one, &query) != shared(&two, &query)
        });
        assert!((400..600).contains(&moved.count()));
        assert_ne!(hash("", &of_user("a")), hash("", &of_history(&["a"])));
        assert_ne!(hash("", &of_history(&["a", "b"])), hash("", &of_history(&["ab"])));
        assert_eq!(hash("", &of_history(&["a", "b"])), hash("", &of_history(&["a", "b"])));
        assert_eq!(shared(&split("", &[]), &of_user("a")), None);
    }

    #[test]
    fn a_switch_selects_by_header_or_field_and_has_a_default() {
        let switch = |by| Switch {
            by,
            cases: vec![
                SwitchCase { value: "new".to_owned(), part: "a".to_owned() },
                SwitchCase { value: "history".to_owned(), part: "b".to_owned() },
            ],
            default: "c".to_owned(),
        };
        let ask = |query| Ask::new(RequestId::new(), query);
        let by_header = switch(SwitchBy::Header("x-recmesh-segment".to_owned()));
        let mut new = ask(of_user("u"));
        assert_eq!(switched(&by_header, &new), "c");
        new.context.segments = [("x-recmesh-segment".to_owned(), "new".to_owned())].into();
        assert_eq!(switched(&by_header, &new), "a");
        let by_user = switch(SwitchBy::Field(SwitchField::User));
        assert_eq!((switched(&by_user, &ask(of_user("new"))), switched(&by_user, &new)), ("a", "c"));
        let by_query = switch(SwitchBy::Field(SwitchField::Query));
        assert_eq!(switched(&by_query, &ask(of_history(&["x"]))), "b");
        assert_eq!(switched(&by_query, &ask(Query::Similar { item: "x".to_owned() })), "c");
    }
}
