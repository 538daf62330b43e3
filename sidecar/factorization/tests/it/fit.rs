//! What holds for the fit of every algorithm.

use std::ops::ControlFlow;

use factorization::{
    AlsParams, BprParams, ExplicitAlsParams, Fit, FitError, Interactions, IterationReport, Model, RatingBiases,
    RatingScale, SolveError, SvdParams, ValidParams, WarmStart,
};

use crate::data::{interactions, ratings};

/// Each algorithm, whether it fits ratings, and whether it has a warm start.
fn algorithms() -> [(ValidParams, bool, bool); 5] {
    let als = AlsParams { factors: 3, iterations: 3, ..AlsParams::default() };
    let explicit = ExplicitAlsParams { factors: 3, iterations: 3, ..ExplicitAlsParams::default() };
    let svd = |ratings| SvdParams { factors: 3, iterations: 3, ratings, ..SvdParams::default() };
    let bpr = BprParams { factors: 3, iterations: 3, ..BprParams::default() };
    [
        (ValidParams::Als(als.check().unwrap()), false, true),
        (ValidParams::ExplicitAls(explicit.check().unwrap()), true, true),
        (ValidParams::Svd(svd(false).check().unwrap()), false, false),
        (ValidParams::Svd(svd(true).check().unwrap()), true, false),
        (ValidParams::Bpr(bpr.check().unwrap()), false, false),
    ]
}

fn data(of_ratings: bool) -> Interactions {
    if of_ratings { ratings(30, 20, 300, 8) } else { interactions(30, 20, 300, 8) }
}

fn never_cancel(_: &IterationReport) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn fit(params: &dyn Fit, data: &Interactions, warm_start: Option<&WarmStart<'_>>) -> Result<Model, FitError> {
    params.fit(data, 7, warm_start, &mut never_cancel)
}

#[test]
fn a_fit_reports_its_iterations_and_keeps_its_parameters() {
    for (params, of_ratings, _) in algorithms() {
        let mut reports = Vec::new();
        let fitted = params.fit(&data(of_ratings), 7, None, &mut |report| {
            reports.push(report.iteration);
            ControlFlow::Continue(())
        });
        assert_eq!(fitted.unwrap().params, params);
        // SVD may converge early.
        assert!(!reports.is_empty() && [1, 2, 3].starts_with(&reports), "{params:?}: {reports:?}");
    }
}

#[test]
fn an_empty_and_a_cancelled_fit_are_errors() {
    let empty = Interactions::from_entries(3, 3, Vec::new()).unwrap();
    for (params, of_ratings, _) in algorithms() {
        assert_eq!(fit(&params, &empty, None).unwrap_err(), FitError::Empty);
        let cancelled = params.fit(&data(of_ratings), 7, None, &mut |_| ControlFlow::Break(()));
        assert_eq!(cancelled.unwrap_err(), FitError::Cancelled { iteration: 1 });
    }
}

#[test]
fn a_warm_start_is_used_or_an_error() {
    for (params, of_ratings, has_warm_start) in algorithms() {
        let data = data(of_ratings);
        let earlier = fit(&params, &data, None).unwrap();
        let rows = |count: u32| (0..count).map(Some).collect::<Vec<_>>();
        let (users, items) = (rows(30), rows(20));
        let warm_start = WarmStart {
            user_factors: earlier.user_factors.view(),
            item_factors: earlier.item_factors.view(),
            user_biases: earlier.ratings.as_ref().map_or(&[], |ratings| &ratings.users),
            users: &users,
            items: &items,
        };
        match fit(&params, &data, Some(&warm_start)) {
            Ok(model) => assert!(has_warm_start && model != earlier, "{params:?}"),
            Err(error) => assert_eq!((error, has_warm_start), (FitError::NoWarmStart, false)),
        }
    }
}

#[test]
fn a_model_of_the_other_kind_of_data_has_no_scorer() {
    let scale = RatingScale { mean: 3.0, deviation: 1.0, low: 1.0, high: 5.0 };
    for (params, of_ratings, _) in algorithms() {
        let mut model = fit(&params, &data(of_ratings), None).unwrap();
        assert!(model.scorer().is_ok());
        model.ratings = match model.ratings {
            Some(_) => None,
            None => Some(RatingBiases { scale, users: vec![0.0; 30], items: vec![0.0; 20] }),
        };
        assert_eq!(model.scorer().unwrap_err(), SolveError::AlgorithmMismatch, "{params:?}");
    }
}
