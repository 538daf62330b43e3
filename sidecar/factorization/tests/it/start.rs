//! A fit that starts from an earlier model.

use std::ops::ControlFlow;

use factorization::{
    AlsParams, AlsSolver, Earlier, ExplicitAlsParams, FitError, Interactions, Model, ValidAlsParams, fit_als,
    fit_als_from, fit_explicit_als, fit_explicit_als_from,
};

use crate::data::{interactions, params, ratings};

type Fitted = (Model, Vec<f64>);

fn from(data: &Interactions, params: &ValidAlsParams, earlier: Option<&Earlier<'_>>) -> Fitted {
    let mut objective = Vec::new();
    let mut progress = |report: &factorization::SweepReport| {
        objective.push(report.objective);
        ControlFlow::Continue(())
    };
    let model = match earlier {
        None => fit_als(data, params, 42, &mut progress),
        Some(earlier) => fit_als_from(data, params, 42, earlier, &mut progress),
    };
    (model.unwrap(), objective)
}

fn known(rows: usize, of: usize) -> Vec<Option<u32>> {
    (0..).take(rows).map(|row| (row < u32::try_from(of).unwrap()).then_some(row)).collect()
}

fn earlier<'a>(model: &'a Model, users: &'a [Option<u32>], items: &'a [Option<u32>]) -> Earlier<'a> {
    let (user_factors, item_factors) = (model.user_factors.view(), model.item_factors.view());
    let user_biases = model.ratings.as_ref().map_or(&[][..], |ratings| &ratings.users);
    Earlier { user_factors, item_factors, user_biases, users, items }
}

#[test]
fn sweeps_that_were_made_are_not_made_again() {
    let data = interactions(60, 40, 900, 3);
    let (users, items) = (known(60, 60), known(40, 40));
    let params = |iterations| AlsParams { iterations, ..params() }.check().unwrap();
    let (_, whole) = from(&data, &params(13), None);
    let (half, _) = from(&data, &params(7), None);
    let (_, rest) = from(&data, &params(6), Some(&earlier(&half, &users, &items)));
    // The seventh sweep ended with exact users, so the rest is not the same way, but is as far; the objective is known to 1e-5.
    for (rest, whole) in rest.iter().zip(&whole[7..]) {
        assert!((rest - whole).abs() < 1e-4 * whole.abs(), "{rest} {whole}");
    }
    assert!(whole[0] > whole[7] + 1e-2 * whole[7].abs(), "a start from the seed would be told apart: {whole:?}");
}

#[test]
fn of_a_model_that_knew_nobody_the_start_is_the_seeds() {
    let data = interactions(60, 40, 900, 3);
    let params = params().check().unwrap();
    let (cold, objective) = from(&data, &params, None);
    let nobody = (known(60, 0), known(40, 0));
    let (model, same) = from(&data, &params, Some(&earlier(&cold, &nobody.0, &nobody.1)));
    assert_eq!((&model, &same), (&cold, &objective));
    // Rows that are out of the earlier model's range are new ones.
    let beyond = (vec![Some(60); 60], vec![Some(4_000_000_000); 40]);
    assert_eq!(from(&data, &params, Some(&earlier(&cold, &beyond.0, &beyond.1))).0, cold);
}

#[test]
fn rows_are_matched_whatever_their_order() {
    let data = interactions(60, 40, 900, 3);
    let params = AlsParams { iterations: 1, ..params() }.check().unwrap();
    let (first, objective) = from(&data, &params, None);
    // The same users from the last to the first: each starts from its own row all the same.
    let entries = (0..60_u32).flat_map(|user| {
        let (items, values) = data.row(user as usize);
        items.iter().zip(values).map(move |(&item, &value)| factorization::Entry { user: 59 - user, item, value })
    });
    let turned = Interactions::from_entries(60, 40, entries.collect()).unwrap();
    let was: Vec<_> = (0..60).rev().map(Some).collect();
    let (straight, items) = (known(60, 60), known(40, 40));
    let (_, same) = from(&data, &params, Some(&earlier(&first, &straight, &items)));
    let (_, reversed) = from(&turned, &params, Some(&earlier(&first, &was, &items)));
    assert!(same[0] < objective[0]);
    assert!((same[0] - reversed[0]).abs() < 1e-5 * same[0].abs(), "{same:?} {reversed:?}");
    let (_, mistaken) = from(&turned, &params, Some(&earlier(&first, &straight, &items)));
    assert!((same[0] - mistaken[0]).abs() > 1e-3 * same[0].abs(), "{same:?} {mistaken:?}");
}

#[test]
fn equal_starts_give_equal_bytes_on_any_number_of_threads() {
    let data = interactions(60, 40, 900, 3);
    let params = params().check().unwrap();
    let (first, _) = from(&interactions(50, 30, 700, 4), &params, None);
    let (users, items) = (known(60, 50), known(40, 30));
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| from(&data, &params, Some(&earlier(&first, &users, &items))))
    };
    assert_eq!(fit(1), fit(3));
    assert_ne!(fit(1).0, from(&data, &params, None).0);
}

#[test]
fn ratings_go_on_where_they_were() {
    let data = ratings(60, 40, 900, 3);
    let (users, items) = (known(60, 60), known(40, 40));
    let fit = |iterations, start: Option<&Earlier<'_>>| {
        let solver = AlsSolver::Cholesky;
        let params = ExplicitAlsParams { factors: 4, iterations, solver, ..ExplicitAlsParams::default() };
        let params = params.check().unwrap();
        let mut objective = Vec::new();
        let mut progress = |report: &factorization::SweepReport| {
            objective.push(report.objective);
            ControlFlow::Continue(())
        };
        let model = match start {
            None => fit_explicit_als(&data, &params, 42, &mut progress),
            Some(start) => fit_explicit_als_from(&data, &params, 42, start, &mut progress),
        };
        (model.unwrap(), objective)
    };
    let (whole, objective) = fit(9, None);
    let (first, _) = fit(4, None);
    // Rows are exact, and items follow from users with their biases: it is the same way, but for rows that are turned and rounded.
    let (rest, others) = fit(5, Some(&earlier(&first, &users, &items)));
    let products = |model: &Model| model.user_factors.dot(&model.item_factors.t());
    assert!((products(&rest) - products(&whole)).iter().all(|x| x.abs() < 1e-4));
    assert_eq!(others.len(), 5);
    for (went_on, whole) in others.iter().zip(&objective[4..]) {
        assert!((went_on - whole).abs() <= 1e-6 * whole.abs(), "{others:?} {objective:?}");
    }
}

#[test]
fn another_number_of_factors_is_refused() {
    let data = interactions(60, 40, 900, 3);
    let (model, _) = from(&data, &params().check().unwrap(), None);
    let (users, items) = (known(60, 60), known(40, 40));
    let wider = AlsParams { factors: params().factors + 1, ..params() };
    let refused = fit_als_from(&data, &wider.check().unwrap(), 42, &earlier(&model, &users, &items), &mut |_| {
        ControlFlow::Continue(())
    });
    let (given, expected) = (params().factors as usize, wider.factors as usize);
    assert_eq!(refused.unwrap_err(), FitError::Start { given, expected });
}
