//! Fits that are warm-started from an earlier model.

use std::ops::ControlFlow;

use factorization::{
    AlsParams, AlsSolver, ExplicitAlsParams, Fit as _, FitError, Interactions, Model, ValidAlsParams, WarmStart,
};

use crate::data::{interactions, params, ratings};

type Fitted = (Model, Vec<f64>);

fn fit(data: &Interactions, params: &ValidAlsParams, earlier: Option<&WarmStart<'_>>) -> Fitted {
    let mut objective = Vec::new();
    let mut progress = |report: &factorization::IterationReport| {
        objective.push(report.objective);
        ControlFlow::Continue(())
    };
    let model = params.fit(data, 42, earlier, &mut progress).unwrap();
    (model, objective)
}

fn known(rows: usize, earlier_rows: usize) -> Vec<Option<u32>> {
    (0..).take(rows).map(|row| (row < u32::try_from(earlier_rows).unwrap()).then_some(row)).collect()
}

fn earlier<'a>(model: &'a Model, users: &'a [Option<u32>], items: &'a [Option<u32>]) -> WarmStart<'a> {
    let (user_factors, item_factors) = (model.user_factors.view(), model.item_factors.view());
    let user_biases = model.ratings.as_ref().map_or(&[][..], |ratings| &ratings.users);
    WarmStart { user_factors, item_factors, user_biases, users, items }
}

#[test]
fn completed_iterations_are_not_repeated() {
    let data = interactions(60, 40, 900, 3);
    let (users, items) = (known(60, 60), known(40, 40));
    let params = |iterations| AlsParams { iterations, ..params() }.check().unwrap();
    let (_, whole) = fit(&data, &params(13), None);
    let (half, _) = fit(&data, &params(7), None);
    let (_, rest) = fit(&data, &params(6), Some(&earlier(&half, &users, &items)));
    // The seventh iteration ended with exact users, so the remaining ones differ but are equally
    // far; the objective is accurate to 1e-5.
    for (rest, whole) in rest.iter().zip(&whole[7..]) {
        assert!((rest - whole).abs() < 1e-4 * whole.abs(), "{rest} {whole}");
    }
    assert!(whole[0] > whole[7] + 1e-2 * whole[7].abs(), "a start from the seed would be distinguishable: {whole:?}");
}

#[test]
fn an_earlier_model_without_common_rows_equals_a_start_from_the_seed() {
    let data = interactions(60, 40, 900, 3);
    let params = params().check().unwrap();
    let (cold, objective) = fit(&data, &params, None);
    let unknown = (known(60, 0), known(40, 0));
    let (model, same) = fit(&data, &params, Some(&earlier(&cold, &unknown.0, &unknown.1)));
    assert_eq!((&model, &same), (&cold, &objective));
    // Rows outside the range of the earlier model count as new.
    let beyond = (vec![Some(60); 60], vec![Some(4_000_000_000); 40]);
    assert_eq!(fit(&data, &params, Some(&earlier(&cold, &beyond.0, &beyond.1))).0, cold);
}

#[test]
fn rows_are_matched_in_any_order() {
    let data = interactions(60, 40, 900, 3);
    let params = AlsParams { iterations: 1, ..params() }.check().unwrap();
    let (first, objective) = fit(&data, &params, None);
    // The same users in reverse order: each starts from its own row.
    let entries = (0..60_u32).flat_map(|user| {
        let (items, values) = data.row(user as usize);
        items.iter().zip(values).map(move |(&item, &value)| factorization::Entry { user: 59 - user, item, value })
    });
    let reversed_data = Interactions::from_entries(60, 40, entries.collect()).unwrap();
    let reversed_users: Vec<_> = (0..60).rev().map(Some).collect();
    let (straight, items) = (known(60, 60), known(40, 40));
    let (_, same) = fit(&data, &params, Some(&earlier(&first, &straight, &items)));
    let (_, reversed) = fit(&reversed_data, &params, Some(&earlier(&first, &reversed_users, &items)));
    assert!(same[0] < objective[0]);
    assert!((same[0] - reversed[0]).abs() < 1e-5 * same[0].abs(), "{same:?} {reversed:?}");
    let (_, mistaken) = fit(&reversed_data, &params, Some(&earlier(&first, &straight, &items)));
    assert!((same[0] - mistaken[0]).abs() > 1e-3 * same[0].abs(), "{same:?} {mistaken:?}");
}

#[test]
fn equal_starts_give_equal_bytes_on_any_number_of_threads() {
    let data = interactions(60, 40, 900, 3);
    let params = params().check().unwrap();
    let (first, _) = fit(&interactions(50, 30, 700, 4), &params, None);
    let (users, items) = (known(60, 50), known(40, 30));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| fit(&data, &params, Some(&earlier(&first, &users, &items))))
    };
    assert_eq!(on(1), on(3));
    assert_ne!(on(1).0, fit(&data, &params, None).0);
}

#[test]
fn a_warm_start_continues_a_fit_of_ratings() {
    let data = ratings(60, 40, 900, 3);
    let (users, items) = (known(60, 60), known(40, 40));
    let fit = |iterations, start: Option<&WarmStart<'_>>| {
        let solver = AlsSolver::Cholesky;
        let params = ExplicitAlsParams { factors: 4, iterations, solver, ..ExplicitAlsParams::default() };
        let params = params.check().unwrap();
        let mut objective = Vec::new();
        let mut progress = |report: &factorization::IterationReport| {
            objective.push(report.objective);
            ControlFlow::Continue(())
        };
        let model = params.fit(&data, 42, start, &mut progress).unwrap();
        (model, objective)
    };
    let (whole, objective) = fit(9, None);
    let (first, _) = fit(4, None);
    // Rows are exact, and items follow from users with their biases, so the iterations are the same
    // except that rows are rotated and rounded.
    let (rest, others) = fit(5, Some(&earlier(&first, &users, &items)));
    let products = |model: &Model| model.user_factors.dot(&model.item_factors.t());
    assert!((products(&rest) - products(&whole)).iter().all(|x| x.abs() < 1e-4));
    assert_eq!(others.len(), 5);
    for (continued, whole) in others.iter().zip(&objective[4..]) {
        assert!((continued - whole).abs() <= 1e-6 * whole.abs(), "{others:?} {objective:?}");
    }
}

#[test]
fn another_number_of_factors_is_rejected() {
    let data = interactions(60, 40, 900, 3);
    let (model, _) = fit(&data, &params().check().unwrap(), None);
    let (users, items) = (known(60, 60), known(40, 40));
    let wider = AlsParams { factors: params().factors + 1, ..params() };
    let result = wider
        .check()
        .unwrap()
        .fit(&data, 42, Some(&earlier(&model, &users, &items)), &mut |_| ControlFlow::Continue(()));
    let (given, expected) = (params().factors as usize, wider.factors as usize);
    assert_eq!(result.unwrap_err(), FitError::WarmStart { given, expected });
}
