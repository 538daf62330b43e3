//! Invalid input and the error messages for it.

use std::ops::ControlFlow;

use factorization::{AlsParams, Entry, Fit as _, FitError, Interactions, RowSolver, Side};
use ndarray::Array2;

use crate::data::{interactions, params};

fn entry(user: u32, item: u32, value: f32) -> Entry {
    Entry { user, item, value }
}

#[test]
fn invalid_entries_are_named() {
    let check = |entries: Vec<Entry>, expected: &str| {
        let message = Interactions::from_entries(2, 3, entries).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(vec![entry(0, 0, 1.0), entry(2, 0, 1.0)], "entry 1: user 2 is outside 0..2");
    check(vec![entry(0, 3, 1.0)], "entry 0: item 3 is outside 0..3");
    check(vec![entry(0, 0, f32::NAN)], "value NaN is not a finite number");
    check(vec![entry(0, 0, f32::INFINITY)], "value inf is not a finite number");
    check(vec![entry(0, 0, f32::MAX), entry(0, 0, f32::MAX)], "value inf is not a finite number");
}

#[test]
fn invalid_parameters_are_named() {
    let check = |change: fn(&mut AlsParams), expected: &str| {
        let mut params = AlsParams::default();
        change(&mut params);
        let message = params.check().unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    };
    check(|p| p.factors = 0, "factors is 0: expected a number from 1 to 1024");
    check(|p| p.factors = 1025, "factors is 1025");
    check(|p| p.iterations = 0, "iterations is 0");
    check(|p| p.regularization = -1.0, "regularization is -1");
    check(|p| p.regularization = f64::NAN, "regularization is NaN");
    check(|p| p.regularization_exponent = 2.5, "regularizationExponent is 2.5");
    check(|p| p.unobserved_weight = f64::INFINITY, "unobservedWeight is inf");
    check(
        |p| {
            p.regularization = 0.0;
            p.unobserved_weight = 0.0;
        },
        "both 0",
    );
}

#[test]
fn a_fit_without_interactions_is_an_error() {
    let data = Interactions::from_entries(3, 3, vec![]).unwrap();
    let result = params().check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Continue(()));
    assert_eq!(result.unwrap_err(), FitError::Empty);
}

#[test]
fn singular_equations_name_the_row() {
    // Two factors, one user and no regularization: every item's equations have rank 1.
    let data = Interactions::from_entries(1, 3, vec![entry(0, 1, 1.0)]).unwrap();
    let params = AlsParams { factors: 2, regularization: 0.0, unobserved_weight: 1.0, ..params() };
    let result = params.check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Continue(()));
    let FitError::Row { side, row, iteration, source } = result.unwrap_err() else { panic!("expected a row") };
    assert_eq!((side, row, iteration), (Side::Item, 1, 1));
    assert!(source.to_string().contains("raise regularization"), "{source}");
}

#[test]
fn a_fit_can_be_cancelled() {
    let result = params().check().unwrap().fit(&interactions(9, 9, 30, 1), 1, None, &mut |report| {
        if report.iteration == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(result.unwrap_err(), FitError::Cancelled { iteration: 2 });
}

#[test]
fn overflow_names_the_row() {
    // One weight near the maximum of f32 and negligible regularization.
    let data = Interactions::from_entries(2, 2, vec![entry(0, 0, 1.0), entry(1, 1, f32::MAX)]).unwrap();
    let params = AlsParams { factors: 8, regularization: 1e-300, unobserved_weight: 0.0, ..params() };
    let error = params.check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, FitError::Row { .. }), "{error:?}");
}

#[test]
fn a_fold_in_rejects_invalid_entries() {
    let data = interactions(9, 9, 40, 1);
    let model = params().check().unwrap().fit(&data, 1, None, &mut |_| ControlFlow::Continue(())).unwrap();
    assert!(model.fold_in(&[9], &[1.0]).unwrap_err().to_string().contains("index 9 is outside 0..9"));
    assert!(model.fold_in(&[1], &[f32::NAN]).unwrap_err().to_string().contains("finite"));
    assert!(model.fold_in(&[3, 1], &[1.0, 1.0]).unwrap_err().to_string().contains("index 1 is not greater"));
    assert!(model.fold_in(&[3, 3], &[1.0, 1.0]).unwrap_err().to_string().contains("merge those of the same index"));
    assert!(model.fold_in(&[3], &[]).unwrap_err().to_string().contains("1 indexes but 0 weights"));
    assert_eq!(model.fold_in(&[], &[]).unwrap(), vec![0.0; 9]);
}

#[test]
fn solving_accepts_entries_in_any_order_and_merges_them() {
    let params = params().check().unwrap();
    let model = params.fit(&interactions(9, 9, 40, 1), 1, None, &mut |_| ControlFlow::Continue(())).unwrap();
    let solver = RowSolver::new(model.item_factors.view(), model.gram.view(), &params).unwrap();
    let merged = solver.solve_entries(&[(5, 1.0), (2, 0.5), (5, 2.0), (2, 0.25)]).unwrap();
    assert_eq!(merged, model.fold_in(&[2, 5], &[0.75, 3.0]).unwrap());
}

#[test]
fn mismatched_matrices_are_rejected() {
    let params = params().check().unwrap();
    let (fixed, gram) = (Array2::zeros((4, 9)), Array2::zeros((9, 9)));
    assert!(RowSolver::new(fixed.view(), gram.view(), &params).is_ok());
    let error = |fixed: &Array2<f32>, gram: &Array2<f64>| {
        RowSolver::new(fixed.view(), gram.view(), &params).unwrap_err().to_string()
    };
    assert!(error(&Array2::zeros((4, 8)), &gram).contains("expected 9 columns"));
    assert!(error(&fixed, &Array2::zeros((9, 8))).contains("gram (9, 8)"));
}
