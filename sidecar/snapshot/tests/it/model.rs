//! An owned model for tests.

use model_snapshot::{
    Biases, ItemCodes, Metadata, ModelParts, Rows, Scale, Seen, SnapshotError, StringTable, TwoHopRows, Written, write,
};
use ndarray::Array2;
use sidecar_contract::{Algorithm, AlsConfig, Signal, SvdConfig};

#[derive(Clone, Debug)]
pub struct Model {
    pub metadata: Metadata,
    pub user_ids: Vec<String>,
    pub item_ids: Vec<String>,
    pub user_factors: Array2<f32>,
    pub item_factors: Array2<f32>,
    pub gram: Array2<f64>,
    pub biases: Option<(Vec<f32>, Vec<f32>)>,
    pub item_counts: Vec<u32>,
    pub popular_items: Vec<u32>,
    pub seen: Vec<Vec<u32>>,
    pub weights: Option<Vec<f32>>,
    pub codes: Option<Codes>,
    /// Users of each item and, if they are not those of `seen`, items of each user.
    pub two_hop: Option<(Table, Option<Table>)>,
    /// What the item factors represent of the term, if they are not those of a decomposition.
    pub span: Option<Array2<f64>>,
    /// Sums of pairs of items.
    pub pairs: Option<Vec<u32>>,
}

/// Offsets, columns and weights of sparse rows.
pub type Table = (Vec<u64>, Vec<u32>, Option<Vec<f32>>);

fn rows((offsets, columns, weights): &Table) -> Rows<'_> {
    Rows { offsets, columns, weights: weights.as_deref() }
}

/// Codes of items: order, codes, scales, bounds.
pub type Codes = (Vec<u32>, Vec<u8>, Vec<u32>, Vec<f32>);

impl Model {
    /// Model without optional parts. All numbers are distinct, so that swapped tensors, rows or
    /// columns are detected.
    pub fn new(user_ids: Vec<String>, item_ids: Vec<String>, factors: usize, seen: Vec<Vec<u32>>) -> Self {
        let (users, items) = (user_ids.len(), item_ids.len());
        let matrix = |rows, from: f32| Array2::from_shape_fn((rows, factors), |(r, c)| from + (r * factors + c) as f32);
        let interactions = seen.iter().map(Vec::len).sum::<usize>();
        Self {
            metadata: Metadata {
                algorithm: Algorithm::Als(AlsConfig { regularization: Some(0.1 + 0.2), ..AlsConfig::WIRE_DEFAULT }),
                signal: Signal::Implicit,
                seed: u64::MAX,
                users: users as u64,
                items: items as u64,
                factors: factors as u64,
                interactions: interactions as u64,
                mean_degree_weight: None,
                ratings: None,
                two_hop_entries: None,
                two_hop_first_square: None,
                two_hop_pair_items: None,
                cold_items: 0,
            },
            user_factors: matrix(users, 0.25),
            item_factors: matrix(items, -1e6),
            gram: Array2::from_shape_fn((factors, factors), |(r, c)| (r * factors + c) as f64 / 3.0),
            biases: None,
            item_counts: (0..items).map(|item| u32::try_from(item).unwrap() * 7).collect(),
            popular_items: (0..items).rev().map(|item| u32::try_from(item).unwrap()).collect(),
            weights: None,
            codes: None,
            span: None,
            pairs: None,
            two_hop: None,
            user_ids,
            item_ids,
            seen,
        }
    }

    /// Small model with every optional part.
    pub fn full() -> Self {
        let names = |kind: &str, n: usize| (0..n).map(|i| format!("{kind}-é{}", (i * 7) % n)).collect();
        let seen = vec![vec![0, 2, 10], vec![], vec![4], vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], vec![3, 9]];
        let mut model = Self::new(names("user", 5), names("item", 11), 3, seen);
        model.weights = Some((0..17).map(|i| i as f32 * 0.5 - 2.0).collect());
        model
    }

    /// Converts the model to a rating model.
    pub fn with_biases(mut self) -> Self {
        self.metadata.signal = Signal::Explicit;
        self.metadata.ratings = Some(Scale { mean: 3.1, deviation: 1.2, low: 0.5, high: 5.0 });
        let numbers = |n: usize, from: f32| (0..n).map(|i| from + i as f32 / 7.0).collect();
        self.biases = Some((numbers(self.user_ids.len(), -0.3), numbers(self.item_ids.len(), 0.1)));
        self
    }

    /// Adds a two-hop term, with rows and weights of its own if it is sampled. For 11 items and 5
    /// users.
    pub fn with_two_hop(mut self, is_sampled: bool) -> Self {
        self.metadata.algorithm = Algorithm::Svd(SvdConfig { co_occurrence_weight: Some(2.5), ..SvdConfig::default() });
        self.metadata.two_hop_entries = Some(4);
        let lists = (vec![0, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4], vec![0, 3, 4, 1], is_sampled.then(|| vec![1.5; 4]));
        let rows = (vec![0, 1, 2, 2, 3, 4], vec![0, 10, 0, 2], Some(vec![0.5; 4]));
        self.two_hop = Some((lists, is_sampled.then_some(rows)));
        self
    }

    /// Adds a two-hop term of ALS.
    pub fn with_two_hop_span(self) -> Self {
        let mut model = self.with_two_hop(false);
        let als = AlsConfig { co_occurrence_weight: Some(2.5), ..AlsConfig::WIRE_DEFAULT };
        model.metadata.algorithm = Algorithm::Als(als);
        model.metadata.two_hop_first_square = Some(0.75);
        model.span = Some(model.gram.mapv(|x| -x));
        model
    }

    /// Adds a two-hop term with sums of pairs of items.
    pub fn with_two_hop_pairs(self) -> Self {
        let mut model = self.with_two_hop(true);
        model.metadata.two_hop_pair_items = Some(11);
        model.pairs = Some((0..121).collect());
        model
    }

    /// Adds codes with distinct numbers.
    pub fn with_codes(mut self) -> Self {
        let items = u32::try_from(self.item_ids.len()).unwrap();
        let blocks = self.item_ids.len().div_ceil(64);
        let codes = (0..blocks * 128).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let bounds = (0..blocks * 3).map(|i| i as f32 + 0.5).collect();
        self.codes = Some(((0..items).rev().collect(), codes, (0..items).map(|i| i * 65_537 + 3).collect(), bounds));
        self
    }

    pub fn write(&self) -> (Vec<u8>, Written) {
        self.try_write().unwrap()
    }

    pub fn try_write(&self) -> Result<(Vec<u8>, Written), SnapshotError> {
        let mut bytes = Vec::new();
        let user_ids: StringTable = self.user_ids.iter().collect();
        let item_ids: StringTable = self.item_ids.iter().collect();
        let mut offsets = vec![0_u64];
        for row in &self.seen {
            offsets.push(offsets.last().unwrap() + row.len() as u64);
        }
        let items = self.seen.concat();
        let written = write(
            &ModelParts {
                metadata: &self.metadata,
                user_ids: &user_ids,
                item_ids: &item_ids,
                user_factors: self.user_factors.view(),
                item_factors: self.item_factors.view(),
                gram: self.gram.view(),
                biases: self.biases.as_ref().map(|(users, items)| Biases { users, items }),
                item_counts: &self.item_counts,
                popular_items: &self.popular_items,
                seen: Seen { offsets: &offsets, items: &items, weights: self.weights.as_deref() },
                two_hop: self.two_hop.as_ref().map(|(lists, of_users)| TwoHopRows {
                    lists: rows(lists),
                    rows: of_users.as_ref().map(rows),
                    span: self.span.as_ref().map(|span| span.view()),
                    pairs: self.pairs.as_deref(),
                }),
                item_codes: self.codes.as_ref().map(|(order, codes, scales, bounds)| ItemCodes {
                    order,
                    codes,
                    scales,
                    bounds,
                }),
            },
            &mut bytes,
        )?;
        Ok((bytes, written))
    }
}
