//! The section of the hyperparameter search: what was tried, and why a trial was chosen.

use std::{collections::BTreeSet, fmt::Write as _};

use sidecar_contract::{Algorithm, LimitedAlgorithm, SearchSummary, Trial};

use crate::{
    plot::{self, Dot},
    text::escaped,
    trial_table::{ALGORITHM, TrialTable},
};

/// Parameters without a plot: each trial has its own best number of iterations.
const NOT_PLOTTED: &str = "iterations";

/// Appends the section; nothing without trials.
pub(crate) fn section(body: &mut String, trials: &[Trial], search: Option<&SearchSummary>, used: Option<&Algorithm>) {
    if trials.is_empty() {
        if search.is_some() {
            body.push_str(
                "<h2>Search</h2><p class=\"soft\">Too few rows to compare parameters on: the defaults are used.</p>",
            );
            limited(body, search);
        }
        return;
    }
    let table = TrialTable::new(trials);
    let chosen = trials.iter().position(|trial| Some(&trial.parameters) == used);
    let fits = search.map_or_else(String::new, |search| format!(" in {} fits", search.fits));
    let _ = write!(
        body,
        "<h2>Search</h2><p class=\"soft\">{} sets of parameters{fits}, best first, compared on a validation set that is \
         separate from the held-out set. Only the best sets ran all iterations.{}{}</p>",
        trials.len(),
        match chosen {
            Some(rank) if rank > 0 =>
                format!(" The run uses number {}, the simplest one within one standard error of the best.", rank + 1),
            _ => String::new(),
        },
        if search.is_some_and(|search| search.stopped_by_time) {
            " The time budget ended the search: the same run on another machine may choose other parameters."
        } else {
            ""
        }
    );
    limited(body, search);
    plots(body, trials, &table);
    rows(body, trials, &table, chosen);
}

/// The algorithms that were not tried, or only with fewer factors.
fn limited(body: &mut String, search: Option<&SearchSummary>) {
    for LimitedAlgorithm { name, factors_max, reason } in search.iter().flat_map(|search| &search.limited) {
        let tried = match factors_max {
            Some(factors) => format!("tried with at most {factors} factors"),
            None => "not tried".to_owned(),
        };
        let _ = write!(body, "<p>{}: {tried}, because {}.</p>", escaped(name), escaped(reason));
    }
}

/// A plot of the metric for each parameter with several values.
fn plots(body: &mut String, trials: &[Trial], table: &TrialTable) {
    if table.columns.first().is_some_and(|name| name == ALGORITHM) {
        let value = |(trial, row): (&Trial, &Vec<String>)| Some((row.first()?.clone(), trial.value?));
        let values: Vec<(String, f64)> = trials.iter().zip(&table.rows).filter_map(value).collect();
        body.push_str(&plot::strips("metric of each trial by algorithm", &values));
    }
    for (column, name) in table.columns.iter().enumerate().filter(|(_, name)| *name != NOT_PLOTTED) {
        let cell = |row: &Vec<String>| row.get(column)?.parse().ok();
        let dots: Vec<Dot> = trials
            .iter()
            .zip(&table.rows)
            .filter_map(|(trial, row)| Some(Dot { x: cell(row)?, y: trial.value? }))
            .collect();
        let distinct: BTreeSet<u64> = dots.iter().map(|dot| dot.x.to_bits()).collect();
        if distinct.len() > 1 {
            body.push_str(&plot::dots(&format!("metric by {name} of each trial"), name, &dots));
        }
    }
}

fn rows(body: &mut String, trials: &[Trial], table: &TrialTable, chosen: Option<usize>) {
    body.push_str(
        "<div class=\"scroll\"><table><tr><th class=\"n\">Number</th><th class=\"n\">Metric</th>\
         <th class=\"n\">Standard errors below the best</th><th class=\"n\">Iterations run</th>",
    );
    for name in &table.columns {
        let _ = write!(body, "<th class=\"n\">{}</th>", escaped(name));
    }
    body.push_str("</tr>");
    for (rank, (trial, row)) in trials.iter().zip(&table.rows).enumerate() {
        let number = if chosen == Some(rank) { format!("{}, used", rank + 1) } else { (rank + 1).to_string() };
        let below = trial.standard_errors_below_best.map_or_else(String::new, |below| format!("{below:.1}"));
        let _ = write!(
            body,
            "<tr><td class=\"n\">{number}</td><td class=\"n\">{}</td><td class=\"n\">{below}</td><td class=\"n\">{}</td>",
            trial.value_text(),
            trial.iterations_run
        );
        for value in row {
            let _ = write!(body, "<td class=\"n\">{}</td>", escaped(value));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
}
