//! The page: first the metrics for the decision, then the details of the model and the run.

use std::fmt::Write as _;

use sidecar_contract::{
    ColdItems, Gate, GateVerdict, Interval, Measurement, Metrics, RecentBaseline, RunOutcome, RunResult, ServingConfig,
    TwoHopMetrics, patch_command, paths,
};

use crate::{
    plot::{self, Pair},
    search,
    text::{count, escaped, percent, time},
    trial_table::named,
};

/// Maximum number of drop reasons, and of forms of reinterpreted rows, that are listed.
const REASONS_MAX: usize = 30;

const STYLE: &str = "\
:root{--ink:#1c2733;--soft:#5b6b7b;--paper:#fff;--rule:#dde3ea;--model:#1769aa;--base:#b4bfca;--bad:#b3261e;--good:#1b7a43}\
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--soft:#9fb0c0;--paper:#12181f;--rule:#2b3641;--model:#5aa9e6;--base:#55636f;--bad:#ff8a80;--good:#6fcf97}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:66rem;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.4rem 0 .4rem}\
p{margin:.4rem 0}.soft{color:var(--soft)}.verdict{font-size:1.15rem;margin-top:1.2rem;padding-left:.9rem;border-left:.3rem solid var(--soft)}\
.good{border-color:var(--good)}.bad{border-color:var(--bad)}code{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}\
svg{width:100%;height:auto;display:block;margin:.6rem 0}.grid{stroke:var(--rule)}.tick{fill:var(--soft);font-size:12px}.label{fill:var(--ink);font-size:13px}\
.line{fill:none;stroke:var(--model);stroke-width:2}.dot{fill:var(--model)}.whisker{stroke:var(--model);stroke-width:3}.model{fill:var(--model)}.baseline{fill:var(--base)}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid var(--rule)}\
th{font-weight:600}th,td{overflow-wrap:anywhere}pre{overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0;padding:.6rem .8rem;border:1px solid var(--rule)}td.n,th.n{text-align:right}.key i{display:inline-block;width:.8em;height:.8em;margin:0 .35em 0 .9em}.key .m{background:var(--model)}.key .b{background:var(--base)}\
@media print{body{background:#fff;color:#000}}";

/// The Recommender of a run.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its quality gate; `None` if an older operator does not state it.
    pub gate: Option<Gate>,
}

impl<'a> From<&'a ServingConfig> for Subject<'a> {
    fn from(config: &'a ServingConfig) -> Self {
        Self { namespace: &config.namespace, name: &config.name, gate: config.gate }
    }
}

/// Renders the report of a run. `subject` is the Recommender, if the run is one of a Recommender.
pub fn render(result: &RunResult, subject: Option<Subject<'_>>) -> String {
    page(result, subject, "")
}

/// The same for a page on the admin port of a pod, with a search of its items.
pub fn render_served(result: &RunResult, subject: Subject<'_>) -> String {
    let search = format!(
        "<section><h2>Items</h2><form action=\"{}\"><input name=\"q\" required aria-label=\"Part of an id or a title\"> \
         <button>Find items</button></form></section>",
        paths::ITEMS
    );
    page(result, Some(subject), &search)
}

/// The page, with `end` after its sections.
fn page(result: &RunResult, subject: Option<Subject<'_>>, end: &str) -> String {
    let mut body = String::new();
    head(&mut body, result, subject);
    gate(&mut body, result, subject);
    match &result.outcome {
        RunOutcome::Trained {
            metrics,
            objective,
            users,
            items,
            interactions,
            parameters,
            digest,
            snapshot_bytes,
            trials,
            search,
            ..
        } => {
            quality(&mut body, metrics.as_ref());
            fit(&mut body, objective);
            rows(&mut body, result);
            let model = [
                ("Revision", digest.revision().to_owned()),
                ("SHA-256", digest.to_string()),
                ("Users", count(*users)),
                ("Items", count(*items)),
                ("Interactions", count(*interactions)),
                ("Density", density(*users, *items, *interactions)),
                ("Snapshot, bytes", count(*snapshot_bytes)),
            ];
            section(&mut body, "Model", &model);
            if let Some(parameters) = parameters {
                section(&mut body, "Parameters", &named(parameters));
            }
            search::section(&mut body, trials, search.as_ref(), parameters.as_ref());
        }
        RunOutcome::Unchanged | RunOutcome::Failed { .. } | RunOutcome::Unknown { .. } => rows(&mut body, result),
    }
    let run = [
        ("Run", result.run.to_string()),
        ("Data version", result.data_version.clone()),
        ("Config", result.config_hash.to_string()),
    ];
    section(&mut body, "Run details", &run);
    let title = escaped(&title(result, subject));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title><style>{STYLE}</style></head><body><main>{body}{end}</main></body></html>\n"
    )
}

/// `movies: run 12`.
fn title(result: &RunResult, subject: Option<Subject<'_>>) -> String {
    let run = result.run.number;
    subject.map_or_else(|| format!("Run {run}"), |subject| format!("{}: run {run}", subject.name))
}

fn head(body: &mut String, result: &RunResult, subject: Option<Subject<'_>>) {
    let seconds = result.finished_at.saturating_sub(result.started_at);
    let namespace = subject.map(|subject| format!("namespace {}, ", escaped(subject.namespace))).unwrap_or_default();
    let _ = write!(
        body,
        "<h1>{}</h1><p class=\"soft\">{namespace}finished {} after {seconds} s</p>",
        escaped(&title(result, subject)),
        time(result.finished_at)
    );
    let (class, verdict) = match &result.outcome {
        RunOutcome::Unchanged => ("", "The data has not changed: nothing was trained.".to_owned()),
        RunOutcome::Failed { reason, message } => {
            ("bad", format!("No model: {}. {}.", escaped(reason), escaped(message.trim_end_matches('.'))))
        }
        RunOutcome::Unknown { kind, .. } => {
            ("", format!("The outcome {} of a newer trainer is not known to this version.", escaped(kind)))
        }
        RunOutcome::Trained { metrics, .. } => match metrics.as_ref().and_then(|m| Some((m, m.lift?))) {
            Some((metrics, lift)) => (
                if lift.low >= 0.0 { "good" } else { "bad" },
                format!(
                    "{} than the {} by {} (95 % interval {} to {}).",
                    if lift.estimate >= 0.0 { "Better" } else { "Worse" },
                    baseline(metrics),
                    percent(lift.estimate),
                    percent(lift.low),
                    percent(lift.high)
                ),
            ),
            None => ("", "Trained. Too few users have held-out items to measure the quality.".to_owned()),
        },
    };
    let _ = write!(body, "<p class=\"verdict {class}\">{verdict}</p>");
}

/// The gate of the Recommender, its verdict on the model, and what to do.
fn gate(body: &mut String, result: &RunResult, subject: Option<Subject<'_>>) {
    let RunOutcome::Trained { metrics, digest, .. } = &result.outcome else { return };
    let Some((subject, gate)) = subject.and_then(|subject| Some((subject, subject.gate?))) else { return };
    let mut required = format!(
        "minLiftOverBaseline {}: the lower bound of the lift must reach it",
        percent(gate.min_lift_over_baseline)
    );
    if let Some(allowed) = gate.max_regression {
        let _ = write!(required, "; maxRegression {:.1} % compared with the serving revision", 100.0 * allowed);
    }
    let (class, verdict) = match gate.verdict(metrics.as_ref()) {
        GateVerdict::Passed { low } => ("good", format!("Passed: the lower bound is {}.", percent(low))),
        GateVerdict::Failed { low, required } => {
            ("bad", format!("Not passed: the lower bound is {}, {} is required.", percent(low), percent(required)))
        }
        GateVerdict::Regressed { low, allowed } => (
            "bad",
            format!(
                "Not passed: compared with the serving revision the lower bound is {}, {} is allowed.",
                percent(low),
                percent(-allowed)
            ),
        ),
        GateVerdict::Unknown => {
            ("", "Not decided: there is no comparison with the baseline, so the model may serve.".to_owned())
        }
    };
    let _ = write!(
        body,
        "<h2>Gate</h2><p class=\"verdict {class}\">{verdict}</p><p class=\"soft\">spec.evaluation.gate of this Recommender: {required}.</p>"
    );
    if class == "bad" {
        let command = patch_command(subject.namespace, subject.name, &gate.accepting_patch(metrics.as_ref(), digest));
        let _ = write!(
            body,
            "<p>The condition QualityGatePassed states what may improve the model. This accepts it as it is:</p><pre><code>{}</code></pre>",
            escaped(&command)
        );
    }
}

fn baseline(metrics: &Metrics) -> &'static str {
    if metrics.metric == "rmse" { "bias baseline" } else { "popularity baseline" }
}

fn quality(body: &mut String, metrics: Option<&Metrics>) {
    let Some(metrics) = metrics else { return };
    let _ = write!(
        body,
        "<h2>Quality on the held-out set</h2><p class=\"soft\">{} test users{}, lists of {}. The gate uses the lower bound of the lift of {}, {} is better.</p>",
        count(metrics.test_users),
        metrics
            .split
            .as_ref()
            .map_or_else(String::new, |split| format!(", measured on {}", escaped(split.description()))),
        metrics.k,
        escaped(&metrics.metric),
        if metrics.metric == "rmse" { "lower" } else { "higher" }
    );
    if let Some(lift) = metrics.lift {
        let title = format!(
            "lift over the baseline: {}, 95 % interval {} to {}",
            percent(lift.estimate),
            percent(lift.low),
            percent(lift.high)
        );
        body.push_str(&plot::interval(&title, lift.low, lift.estimate, lift.high));
    }
    measurements(body, metrics);
    if let Some(RecentBaseline { since, measurement: _, lift }) = &metrics.recent_baseline {
        let lift = lift.map(|lift| format!(": the model is {}", compared(lift))).unwrap_or_default();
        let _ = write!(
            body,
            "<p>Recent popularity ranks items by the users who chose them since {}, the newest rows of the training set{lift}. The gate does not use it.</p>",
            time(*since)
        );
    }
    if let Some(comparison) = &metrics.incumbent {
        let users = comparison.test_users.map(|users| format!(", {} test users", count(users))).unwrap_or_default();
        let _ = write!(
            body,
            "<p>Compared with {}: {}{users}.</p>",
            escaped(&comparison.reference_description()),
            compared(comparison.lift)
        );
    }
    let k = metrics.k;
    if let Some(ColdItems { items, users, ndcg, baseline }) = &metrics.cold_items {
        let _ = write!(
            body,
            "<p>Cold-start items: NDCG@{k} {ndcg:.4} from attributes only, {baseline:.4} in random order ({} items excluded from a fit, {} users).</p>",
            count(*items),
            count(*users)
        );
    }
    if let Some(TwoHopMetrics { form, additions_max, loss }) = &metrics.two_hop {
        let form = match form.as_str() {
            "pairs" => "stored sums of all pairs of items",
            "walks" => "walks through the rows of users",
            other => other,
        };
        let _ = write!(
            body,
            "<p>Two-hop term: {}, at most {} additions an answer. This limit changes NDCG@{k} by {}.</p>",
            escaped(form),
            count(*additions_max),
            percent(0.0 - loss)
        );
    }
    by_activity(body, metrics);
}

/// A lift with its interval.
fn compared(Interval { estimate, low, high }: Interval) -> String {
    format!("{} (95 % interval {} to {})", percent(estimate), percent(low), percent(high))
}

/// The table of the metrics of the model and of the baselines.
fn measurements(body: &mut String, metrics: &Metrics) {
    let recent = metrics.recent_baseline.as_ref().map(|recent| &recent.measurement);
    let columns: Vec<(&str, &Measurement)> = [("Model", &metrics.model), ("Baseline", &metrics.baseline)]
        .into_iter()
        .chain(recent.map(|recent| ("Recent popularity", recent)))
        .collect();
    body.push_str("<div class=\"scroll\"><table><tr><th>Metric</th>");
    for (name, _) in &columns {
        let _ = write!(body, "<th class=\"n\">{name}</th>");
    }
    body.push_str("</tr>");
    let k = metrics.k;
    let row = |body: &mut String, name: &str, value: fn(&Measurement) -> Option<f64>| {
        let values: Vec<Option<f64>> = columns.iter().map(|(_, measurement)| value(measurement)).collect();
        if values.iter().all(Option::is_none) {
            return;
        }
        let _ = write!(body, "<tr><td>{name}</td>");
        for value in values {
            let shown = value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"));
            let _ = write!(body, "<td class=\"n\">{shown}</td>");
        }
        body.push_str("</tr>");
    };
    row(body, &format!("NDCG@{k}"), |of| of.ndcg);
    row(body, &format!("recall@{k}"), |of| of.recall);
    row(body, &format!("precision@{k}"), |of| of.precision);
    row(body, &format!("MAP@{k}"), |of| of.map);
    row(body, &format!("MRR@{k}"), |of| of.mrr);
    row(body, &format!("coverage@{k}"), |of| of.coverage);
    row(body, &format!("Gini@{k} of item exposure, lower is more even"), |of| of.gini);
    row(body, "RMSE, lower is better", |of| of.rmse);
    row(body, "MAE, lower is better", |of| of.mae);
    body.push_str("</table></div>");
}

fn by_activity(body: &mut String, metrics: &Metrics) {
    if metrics.by_activity.is_empty() {
        return;
    }
    let rows = |low: u64, high: u64| if low == high { low.to_string() } else { format!("{low}–{high}") };
    let pairs: Vec<Pair> = metrics
        .by_activity
        .iter()
        .map(|group| Pair { label: rows(group.rows_min, group.rows_max), model: group.model, baseline: group.baseline })
        .collect();
    let _ = write!(
        body,
        "<h2>Quality by user activity</h2><p class=\"soft\">NDCG@{} of equally large groups of users, by number of items in the history.<span class=\"key\"><i class=\"m\"></i>model<i class=\"b\"></i>baseline</span></p>{}",
        metrics.k,
        plot::pairs("NDCG of model and baseline by user activity", &pairs)
    );
    body.push_str("<div class=\"scroll\"><table><tr><th>Items in history</th><th class=\"n\">Users</th><th class=\"n\">Model</th><th class=\"n\">Baseline</th></tr>");
    for group in &metrics.by_activity {
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td></tr>",
            rows(group.rows_min, group.rows_max),
            count(group.users),
            group.model,
            group.baseline
        );
    }
    body.push_str("</table></div>");
}

fn fit(body: &mut String, objective: &[f64]) {
    let (Some(first), Some(last)) = (objective.first(), objective.last()) else { return };
    let _ = write!(
        body,
        "<h2>Objective by iteration</h2><p class=\"soft\">Refit on all rows: {} iterations, from {} to {}. The curve should flatten; if it still falls steeply, more iterations may help.</p>{}",
        objective.len(),
        plot::tick(*first),
        plot::tick(*last),
        plot::line("objective after each iteration", objective)
    );
}

fn rows(body: &mut String, result: &RunResult) {
    let rows = &result.rows;
    if rows.read == 0 {
        return;
    }
    let with_percent = |part: u64| format!("{} ({:.1} %)", count(part), 100.0 * part as f64 / rows.read as f64);
    let mut bars = vec![
        ("read".to_owned(), rows.read, count(rows.read)),
        ("kept".to_owned(), rows.kept, with_percent(rows.kept)),
        ("of which merged".to_owned(), rows.merged, with_percent(rows.merged)),
    ];
    let dropped = rows.dropped.iter().take(REASONS_MAX);
    bars.extend(dropped.map(|(reason, number)| (format!("dropped: {reason}"), *number, with_percent(*number))));
    let reinterpreted = rows.reinterpreted.iter().take(REASONS_MAX);
    bars.extend(reinterpreted.map(|(form, number)| (format!("reinterpreted: {form}"), *number, with_percent(*number))));
    let title = "rows read, kept, merged, dropped and reinterpreted";
    let _ = write!(body, "<h2>Data rows</h2>{}", plot::horizontal_bars(title, &bars));
}

fn section(body: &mut String, title: &str, rows: &[(impl AsRef<str>, String)]) {
    let _ = write!(body, "<h2>{title}</h2><div class=\"scroll\"><table>");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(body, "<tr><th>{}</th><td><code>{}</code></td></tr>", escaped(name.as_ref()), escaped(value));
    }
    body.push_str("</table></div>");
}

fn density(users: u64, items: u64, interactions: u64) -> String {
    let cells = users as f64 * items as f64;
    if cells > 0.0 { format!("{:.3} %", 100.0 * interactions as f64 / cells) } else { String::new() }
}
