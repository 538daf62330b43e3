//! What a reader must support to serve a model.

/// Version of the container. It changes only if an older reader could not even find the list of
/// capabilities; every other incompatible change is a [`Capability`].
pub(crate) const FORMAT_VERSION: u64 = 1;

/// A feature of a model that changes how its reader computes. A reader that ignored it would serve
/// wrong lists, so it refuses a file with a capability that it does not know.
///
/// Every change of meaning of a known tensor or metadata key is a new capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// The last items are cold-start items. Their factors are computed from their features only, so
    /// they do not count in the regularization of a fold-in.
    ColdItems,
    /// The interaction weights of a fold-in depend on the degrees of user and item.
    DegreeWeights,
    /// Scores are predicted ratings: biases are added to the product of the factors.
    Ratings,
    /// A two-hop term is added to the product of the factors.
    TwoHop,
    /// The two-hop term is that of sums of pairs of items, whose factors of users and items are
    /// rounded.
    TwoHopPairs,
    /// What the factors represent of the two-hop term is a matrix of its own, because they are not
    /// those of a decomposition.
    TwoHopSpan,
}

impl Capability {
    /// All capabilities, sorted by name.
    pub const ALL: [Self; 6] =
        [Self::ColdItems, Self::DegreeWeights, Self::Ratings, Self::TwoHop, Self::TwoHopPairs, Self::TwoHopSpan];

    /// Name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::ColdItems => "cold-items",
            Self::DegreeWeights => "degree-weights",
            Self::Ratings => "ratings",
            Self::TwoHop => "two-hop",
            Self::TwoHopPairs => "two-hop-pairs",
            Self::TwoHopSpan => "two-hop-span",
        }
    }

    /// Capability with this name; `None` if this build does not know it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(Capability::ALL.map(Capability::name).is_sorted_by(|before, after| before < after));
        assert!(Capability::ALL.is_sorted());
        for capability in Capability::ALL {
            assert_eq!(Capability::parse(capability.name()), Some(capability));
        }
        assert_eq!(Capability::parse("shards"), None);
    }
}
