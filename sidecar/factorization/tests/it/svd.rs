//! Truncated SVD: planted singular values, the best approximation, projections, equal bytes.

use std::ops::ControlFlow;

use factorization::{Biases, Entry, Fit as _, FitError, Interactions, Model, SvdParams};
use ndarray::{Array2, Axis};

use crate::data::{Draws, interactions, ratings};

fn fit(data: &Interactions, ratings: bool, params: SvdParams) -> (Model, Vec<f64>) {
    let mut objectives = Vec::new();
    let params = SvdParams { ratings, ..params }.check().unwrap();
    let model = params.fit(data, 42, None, &mut |report| {
        objectives.push(report.objective);
        ControlFlow::Continue(())
    });
    (model.unwrap(), objectives)
}

fn params(factors: u32) -> SvdParams {
    SvdParams { factors, iterations: 60, ..SvdParams::default() }
}

/// Singular values: the norms of the columns of the item factors.
fn values(model: &Model) -> Vec<f64> {
    model.gram.diag().iter().map(|square| square.sqrt()).collect()
}

fn from_dense(dense: &Array2<f32>) -> Interactions {
    let entries = dense.indexed_iter().filter(|(_, value)| **value != 0.0).map(|((user, item), value)| Entry {
        user: u32::try_from(user).unwrap(),
        item: u32::try_from(item).unwrap(),
        value: *value,
    });
    Interactions::from_entries(dense.nrows(), dense.ncols(), entries.collect()).unwrap()
}

fn dense(data: &Interactions) -> Array2<f64> {
    let mut dense = Array2::zeros((data.users(), data.items()));
    for user in 0..data.users() {
        let (items, values) = data.row(user);
        for (&item, &value) in items.iter().zip(values) {
            dense[[user, item as usize]] = f64::from(value.max(0.0));
        }
    }
    dense
}

#[test]
fn blocks_of_ones_have_the_square_roots_of_their_areas_as_singular_values() {
    // Disjoint blocks with value w: singular values are w·√(rows·columns); two of them are equal.
    let mut matrix = Array2::<f32>::zeros((60, 40));
    let mut expected = Vec::new();
    let mut corner = (0, 0);
    for (rows, columns, weight) in [(20, 9, 1.0_f32), (9, 20, 1.0), (5, 5, 3.0), (4, 4, 0.5)] {
        matrix.slice_mut(ndarray::s![corner.0..corner.0 + rows, corner.1..corner.1 + columns]).fill(weight);
        expected.push(f64::from(weight) * f64::from(rows * columns).sqrt());
        corner = (corner.0 + rows, corner.1 + columns);
    }
    expected.sort_by(|x, y| y.total_cmp(x));
    let (model, objectives) = fit(&from_dense(&matrix), false, params(6));
    let found = values(&model);
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found / expected - 1.0).abs() < 1e-6, "{found} {expected}");
    }
    // The rank is 4, so the other columns are 0, and the error is 0.
    assert_eq!(found[4..], [0.0, 0.0]);
    // Products are in f32: the residual of ‖A‖² is accurate to 1e-7 of it.
    let all: f64 = expected.iter().map(|value| value * value).sum();
    assert!(objectives.last().unwrap().abs() < 1e-7 * all, "{objectives:?}");
    let product = model.user_factors.dot(&model.item_factors.t());
    assert!((product - &matrix).iter().all(|x| x.abs() < 1e-5));
}

#[test]
fn the_model_is_the_decomposition_of_the_dense_matrix() {
    let data = interactions(70, 45, 900, 3);
    let a = dense(&data);
    let (model, objectives) = fit(&data, false, params(7));
    let (u, v) = (model.user_factors.mapv(f64::from), model.item_factors.mapv(f64::from));
    // UᵀU = 1, VᵀV diagonal and descending, A V = U Σ².
    for (i, row) in u.t().dot(&u).rows().into_iter().enumerate() {
        for (j, x) in row.iter().enumerate() {
            assert!((x - f64::from(u8::from(i == j))).abs() < 1e-5, "UᵀU at {i}, {j}: {x}");
        }
    }
    let squares: Vec<f64> = values(&model).iter().map(|x| x * x).collect();
    assert!(squares.is_sorted_by(|x, y| x >= y));
    for (i, row) in v.t().dot(&v).rows().into_iter().enumerate() {
        for (j, x) in row.iter().enumerate() {
            assert!(i == j || x.abs() < 1e-5 * squares[0], "VᵀV at {i}, {j}: {x}");
        }
    }
    // The last iteration adds no more than 1e-7 to the sum of squares; the error of a vector is the
    // square root of that.
    let tolerance = (1e-7 * squares.iter().sum::<f64>()).sqrt();
    let image = a.t().dot(&u);
    assert!((image - &v).iter().all(|x| x.abs() < tolerance), "Aᵀu = σv");
    // They are the largest: the residual has no larger singular value, by the power method in f64.
    let residual = &a - &u.dot(&v.t());
    let mut x = ndarray::Array1::from_shape_fn(45, |i| 1.0 + (i % 7) as f64);
    for _ in 0..2000 {
        x = residual.t().dot(&residual.dot(&x));
        x /= x.dot(&x).sqrt();
    }
    let next = residual.dot(&x).dot(&residual.dot(&x));
    assert!(next <= squares[6] * (1.0 + 1e-6), "{next} {squares:?}");
    // The reported error is that of the best approximation, over all cells.
    let error: f64 = residual.iter().map(|x| x * x).sum();
    assert!((objectives.last().unwrap() / error - 1.0).abs() < 1e-6, "{objectives:?} {error}");
    // Blocks are in f32, hence the tolerance.
    assert!(objectives.is_sorted_by(|x, y| *y <= x * (1.0 + 1e-7)), "{objectives:?}");
}

#[test]
fn degree_normalization_is_undone_in_the_factors() {
    let data = interactions(70, 45, 900, 3);
    let c = dense(&data);
    let degree = |line: ndarray::ArrayView1<'_, f64>| line.iter().filter(|x| **x > 0.0).count() as f64 + 10.0;
    let (users, items) = (c.map_axis(Axis(1), degree), c.map_axis(Axis(0), degree));
    let power = |i: usize, j: usize| (users[i] * items[j]).powf(0.4);
    let (model, _) = fit(&data, false, SvdParams { degree_exponent: 0.4, ..params(7) });
    // The reference: a hand-normalized matrix, decomposed without a degree exponent.
    #[expect(clippy::cast_possible_truncation, reason = "the fit rounds, too")]
    let normalized = Array2::from_shape_fn(c.dim(), |(i, j)| (c[[i, j]] / power(i, j)) as f32);
    let (plain, _) = fit(&from_dense(&normalized), false, params(7));
    let (ours, by_hand) = [&model, &plain]
        .map(|model| model.user_factors.mapv(f64::from).dot(&model.item_factors.mapv(f64::from).t()))
        .into();
    for ((i, j), ours) in ours.indexed_iter() {
        assert!((ours - by_hand[[i, j]] * power(i, j)).abs() < 1e-4, "at {i}, {j}: {ours}");
    }
    assert!(SvdParams { degree_exponent: f64::NAN, ..params(1) }.check().is_err());
}

#[test]
fn the_fold_in_of_a_known_user_equals_the_stored_row_bit_for_bit() {
    let halves = SvdParams { degree_exponent: 0.5, ..params(5) };
    for (data, explicit, params) in [
        (interactions(90, 30, 800, 4), false, params(5)),
        (interactions(90, 30, 800, 4), false, halves),
        (ratings(90, 30, 800, 4), true, params(5)),
    ] {
        let (model, _) = fit(&data, explicit, params);
        let scorer = model.scorer().unwrap();
        for user in 0..90_u32 {
            let (items, values) = data.row(user as usize);
            let (folded, stored) = (scorer.fold_in(items, values).unwrap(), scorer.stored(user).unwrap());
            let bits = |row: &[f32]| row.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!((bits(&folded.factors), folded.bias.to_bits()), (bits(&stored.factors), stored.bias.to_bits()));
        }
        assert!(scorer.fold_in(&[30], &[1.0]).is_err());
    }
}

#[test]
fn svd_of_ratings_decomposes_the_residuals_of_the_bias_baseline() {
    let data = ratings(40, 30, 500, 5);
    let baseline = Biases::fit(&data).unwrap();
    let mut residuals = Array2::<f32>::zeros((40, 30));
    for user in 0..40_u32 {
        let (items, values) = data.row(user as usize);
        for (&item, &r) in items.iter().zip(values) {
            let biased = baseline.scale.mean + baseline.user[user as usize] + baseline.item[item as usize];
            residuals[[user as usize, item as usize]] = r - biased;
        }
    }
    // With all singular values, factors reproduce the matrix and predictions the observed ratings.
    let (model, _) = fit(&data, true, params(30));
    let product = model.user_factors.dot(&model.item_factors.t());
    assert!((product - &residuals).iter().all(|x| x.abs() < 1e-4));
    let scorer = model.scorer().unwrap();
    for user in 0..40_u32 {
        let (items, values) = data.row(user as usize);
        for (&item, &r) in items.iter().zip(values) {
            let predicted = scorer.rating(&scorer.stored(user).unwrap(), item).unwrap();
            assert!((predicted - r).abs() < 1e-4, "{predicted} {r}");
        }
    }
}

#[test]
fn bytes_are_equal_on_any_number_of_threads() {
    let data = interactions(9000, 300, 30_000, 6);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&data, false, SvdParams { iterations: 3, degree_exponent: 0.5, ..params(6) }))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn degenerate_shapes_are_decomposed_and_invalid_input_is_rejected() {
    // Wide, tall, a single cell, more factors than the rank.
    for (users, items) in [(1_u32, 1_u32), (1, 50), (50, 1), (3, 200)] {
        let mut draws = Draws(7);
        let entries: Vec<Entry> = (0..users)
            .flat_map(|user| (0..items).map(move |item| (user, item)))
            .map(|(user, item)| Entry { user, item, value: f32::from(u8::try_from(1 + draws.below(9)).unwrap()) })
            .collect();
        let data = Interactions::from_entries(users as usize, items as usize, entries).unwrap();
        let (model, _) = fit(&data, false, params(8));
        let error = (model.user_factors.dot(&model.item_factors.t()).mapv(f64::from) - dense(&data)).mapv(f64::abs);
        assert!(error.iter().all(|x| *x < 1e-4), "{users} × {items}");
    }
    let never_cancel = &mut |_: &factorization::IterationReport| ControlFlow::Continue(());
    let valid = params(2).check().unwrap();
    let empty = Interactions::from_entries(2, 2, vec![]).unwrap();
    assert_eq!(valid.fit(&empty, 1, None, never_cancel).unwrap_err(), FitError::Empty);
    let cancelled = valid.fit(&interactions(9, 9, 30, 1), 1, None, &mut |_| ControlFlow::Break(()));
    assert_eq!(cancelled.unwrap_err(), FitError::Cancelled { iteration: 1 });
    // VΣ overflows f32; the error names the row.
    let extreme = (0..4).map(|user| Entry { user, item: 0, value: f32::MAX }).collect();
    let extreme = Interactions::from_entries(4, 1, extreme).unwrap();
    let error = valid.fit(&extreme, 1, None, never_cancel).unwrap_err();
    assert!(error.to_string().contains("item row 0"), "{error}");
    assert!(SvdParams { factors: 0, ..params(1) }.check().unwrap_err().to_string().contains("factors is 0"));
    assert!(
        SvdParams { iterations: 1001, ..params(1) }.check().unwrap_err().to_string().contains("iterations is 1001")
    );
}
