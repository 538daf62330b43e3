//! Test values of leaf fields: values from the schema, including both bounds of every range, and
//! the few that only a CEL rule or Kubernetes itself restricts.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::schema::{Leaf, fill, keep_one, merge, nest};

/// Test values of a leaf field that do not follow from the schema. Values are JSON, separated by
/// spaces. If there are no good values, those of the schema are used.
struct Hint {
    /// Suffix of the path.
    suffix: &'static str,
    /// Other fields that the value requires, relative to the parent of the suffix.
    requires: &'static str,
    /// Accepted by the API server and the operator.
    good: &'static str,
    /// Rejected by the API server.
    bad: &'static str,
    /// Accepted or rejected by the API server; if accepted, possibly rejected by the operator.
    odd: &'static str,
}

const fn hint(
    suffix: &'static str,
    requires: &'static str,
    good: &'static str,
    bad: &'static str,
    odd: &'static str,
) -> Hint {
    Hint { suffix, requires, good, bad, odd }
}

const DURATION: (&str, &str) = (r#""10s" "1h30m" "168h""#, r#""9s" "169h" "1d" "1 h""#);
const SECRET_OF_URL: &str = r#"{"source":{"url":"s3://shop/items.csv"}}"#;
const IN: &str = r#"{"matchExpressions":[{"operator":"In","values":["a"]}]}"#;

/// The first hint with a matching suffix applies.
const HINTS: &[Hint] = &[
    hint(
        "data.items.source.url",
        "{}",
        r#""s3://shop/items/" "https://example.com/items.csv.gz""#,
        r#""ftp://a/b" "s3://shop" "https://example.com/" "az://a/b.zip""#,
        "",
    ),
    hint(
        "source.url",
        "{}",
        r#""s3://shop/r.csv" "gs://shop/r/" "https://example.com/r.csv.gz""#,
        r#""ftp://a/b" "s3://shop" "https://example.com/" "az://a/b.zip""#,
        "",
    ),
    hint("source.secretRef.name", SECRET_OF_URL, "", "", r#""a..b""#),
    hint("persistentVolumeClaim.path", "{}", r#""r.csv" "exports/2026/""#, r#""/r.csv" "../r.csv" "r.csv.zip""#, ""),
    hint("configMap.key", "{}", r#""r.csv" "items.jsonl.zst""#, r#""r csv" "r.zip""#, r#""..""#),
    hint("algorithm.als.sampling.samples", r#"{"data":{"signal":"explicit"}}"#, "", "", ""),
    hint("algorithm.als.popularityBoost", r#"{"algorithm":{"als":{"degreeExponent":0.5}}}"#, "", "", ""),
    hint("algorithm.bpr.regularization", r#"{"algorithm":{"bpr":{"learningRate":0.000001}}}"#, "", "", ""),
    hint("data.eventWeights{}", r#"{"data":{"columns":{"event":"event"}}}"#, "1 -2.5 1e6", r#"0 2e6 "many""#, ""),
    hint("data.columns.event", r#"{"data":{"eventWeights":{"view":1}}}"#, "", "", ""),
    hint("data.halfLife", "{}", r#""30d" "1d12h""#, r#""90m" "0d" "d""#, ""),
    hint("data.csv.header", r#"{"data":{"columns":{"user":0,"item":1}}}"#, "", "", ""),
    hint("items.csv.header", r#"{"items":{"columns":{"id":0}}}"#, "", "", ""),
    hint("csv.delimiter", "{}", r#"";" "|" "\t""#, r#""\"" "||""#, ""),
    hint("model.revision", "{}", r#""0123456789""#, r#""newest" "01234567890""#, ""),
    hint("store.url", "{}", r#""s3://models" "gs://models/x/y""#, r#""https://a/b" "s3://""#, ""),
    hint("store.secretRef.name", r#"{"store":{"url":"s3://models"}}"#, "", "", r#""a..b""#),
    hint("evaluation.holdout", "{}", "0.001 0.1 0.5", "0.0", ""),
    hint("fallback[]", "{}", r#""popular""#, r#""recent""#, ""),
    hint(
        "training.schedule",
        "{}",
        r#""0 3 1 1 *" "*/15 2 29 feb mon""#,
        r#""0 3 * *" "0 24 * * *""#,
        r#""0 0 31 2 *""#,
    ),
    hint(
        "training.timeZone",
        r#"{"training":{"schedule":"0 3 1 1 *"}}"#,
        r#""UTC" "America/Argentina/Buenos_Aires""#,
        r#""Europe/""#,
        r#""Nowhere/Land""#,
    ),
    hint("items.refresh", "{}", r#""1m" "168h""#, r#""59s" "169h""#, ""),
    hint("batch.schedule", "{}", r#""0 5 * * *""#, r#""0 3 * *" "0 24 * * *""#, r#""0 0 31 2 *""#),
    hint("batch.timeZone", r#"{"batch":{"schedule":"0 5 * * *"}}"#, r#""UTC""#, r#""Europe/""#, r#""Nowhere/Land""#),
    hint("destination.url", "{}", r#""s3://lists" "gs://lists/x/y""#, r#""https://a/b" "s3://""#, ""),
    hint("destination.secretRef.name", "{}", "", "", r#""a..b""#),
    hint("training.deadline", "{}", DURATION.0, DURATION.1, ""),
    hint("training.startingDeadline", "{}", DURATION.0, DURATION.1, ""),
    hint("tuning.budget", "{}", DURATION.0, DURATION.1, ""),
    hint("auto.budget", "{}", DURATION.0, DURATION.1, ""),
    hint("training.dataCheckInterval", "{}", r#""0s" "1m" "168h""#, r#""59s" "169h""#, ""),
    hint("ipBlock.cidr", "{}", r#""10.0.0.0/8" "2001:db8::/32""#, r#""10.0.0.0/99" "10.0.0.0""#, ""),
    hint(
        "ipBlock.except[]",
        r#"{"ipBlock":{"cidr":"10.0.0.0/8"}}"#,
        r#""10.1.0.0/16""#,
        "",
        r#""11.0.0.0/8" "nowhere""#,
    ),
    hint("matchExpressions[].key", IN, r#""team" "example.com/team""#, "", r#""a b""#),
    hint("matchExpressions[].operator", IN, r#""In" "NotIn""#, "", r#""Exists" "Maybe""#),
    hint("matchExpressions[].values[]", IN, r#""a" """#, "", r#""a b""#),
    hint("matchLabels{}", "{}", r#""a" """#, "", r#""a b""#),
    hint(
        "tolerations[].key",
        r#"{"tolerations":[{"operator":"Exists"}]}"#,
        r#""gpu" "example.com/gpu""#,
        "",
        r#""a b""#,
    ),
    hint(
        "tolerations[].operator",
        r#"{"tolerations":[{"key":"gpu"}]}"#,
        r#""Exists" "Equal""#,
        r#""Maybe""#,
        r#""Lt""#,
    ),
    hint("tolerations[].value", r#"{"tolerations":[{"key":"gpu"}]}"#, r#""a" """#, "", r#""a b""#),
    hint(
        "tolerations[].effect",
        r#"{"tolerations":[{"operator":"Exists"}]}"#,
        r#""NoSchedule" "PreferNoSchedule" "NoExecute""#,
        r#""Never""#,
        "",
    ),
    hint(
        "tolerations[].tolerationSeconds",
        r#"{"tolerations":[{"operator":"Exists","effect":"NoExecute"}]}"#,
        "0 60 -1",
        "",
        "",
    ),
    hint("resources.requests{}", "{}", r#""500m" 2 "0" "0.5" "1e3""#, r#""2 GB" -1"#, r#""1e999""#),
    hint("resources.limits{}", "{}", r#""500m" 2 "0.5" "1e3""#, r#""2 GB" -1"#, r#""1e999""#),
    hint("access.allow[].namespace", "{}", r#""shop" "a""#, r#""*" "a.b""#, ""),
    hint(
        "access.allow[].serviceAccount",
        r#"{"access":{"allow":[{"namespace":"shop"}]}}"#,
        r#""web" "a.b-c""#,
        r#""A""#,
        "",
    ),
    hint("serviceAccountName", "{}", r#""trainer" "a.b-c""#, r#""A" """#, r#""a..b""#),
];

/// Test values of a leaf field.
pub struct Values {
    /// Accepted by the API server and the operator.
    pub good: Vec<Value>,
    /// Rejected by the API server.
    pub bad: Vec<Value>,
    /// Accepted or rejected. If rejected, the workload must not change.
    pub odd: Vec<Value>,
}

fn hint_of(path: &str) -> Option<&'static Hint> {
    HINTS.iter().find(|hint| path.ends_with(hint.suffix))
}

/// Returns the test values of a leaf field.
pub fn values(leaf: &Leaf) -> Result<Values> {
    let list = |text: &str| -> Result<Vec<Value>> {
        let items = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        items.collect::<Result<_, _>>().with_context(|| format!("hints for {}: {text}", leaf.path))
    };
    let (mut good, mut bad) = of_schema(&leaf.schema);
    let mut odd = Vec::new();
    if let Some(hint) = hint_of(&leaf.path) {
        let better = list(hint.good)?;
        if !better.is_empty() {
            good = better;
        }
        bad.extend(list(hint.bad)?);
        odd = list(hint.odd)?;
    }
    ensure!(!bad.is_empty(), "{}: no invalid value is known; add one to HINTS", leaf.path);
    Ok(Values { good, bad, odd })
}

/// Returns good and bad values by type, enum, range, length and pattern.
fn of_schema(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    if let Some(words) = schema["enum"].as_array() {
        return (words.clone(), vec![json!("SomethingElse"), json!(7)]);
    }
    let (mut good, mut bad) = match schema["type"].as_str() {
        Some("boolean") => return (vec![json!(true), json!(false)], vec![json!("yes")]),
        Some("integer") => integers(schema),
        Some("number") => numbers(schema),
        Some("string") => strings(schema),
        // An integer or a string, each within its own bounds.
        _ => {
            let ((mut good, mut bad), (good_strings, bad_strings)) = (integers(schema), strings(schema));
            bad.retain(Value::is_i64);
            bad.extend(bad_strings.into_iter().filter(Value::is_string));
            good.extend(good_strings);
            (good, bad)
        }
    };
    bad.push(json!([]));
    if !schema["default"].is_null() {
        good.push(schema["default"].clone());
    }
    (good, bad)
}

fn integers(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    #[allow(clippy::cast_possible_truncation, reason = "bounds of integers are integers below 2^53")]
    let bound = |name: &str| schema[name].as_f64().map(|bound| bound as i64);
    let (low, high) = (bound("minimum"), bound("maximum"));
    let good = vec![json!(low.unwrap_or(0)), json!(high.unwrap_or(1))];
    let outside = low.map(|low| low - 1).into_iter().chain(high.map(|high| high + 1));
    let bad = outside.map(|number| json!(number)).chain([json!("7"), json!(0.5)]);
    (good, bad.collect())
}

fn numbers(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let bound = |name: &str| schema[name].as_f64().or_else(|| schema[name].as_str()?.parse().ok());
    let (low, high) = (bound("minimum"), bound("maximum"));
    let outside = low.map(|low| low - 0.5).into_iter().chain(high.map(|high| high + 0.5));
    let bad = outside.map(|number| json!(number)).chain([json!("much")]);
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
    (vec![json!(low), json!(f64::midpoint(low, high)), json!(high)], bad.collect())
}

fn strings(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let length = |name: &str| schema[name].as_u64().and_then(|length| usize::try_from(length).ok());
    let longest = length("maxLength").unwrap_or(1);
    let good = vec![json!("a"), json!("a".repeat(longest.max(1)))];
    let mut bad = vec![json!("a".repeat(longest + 1)), json!(7)];
    if length("minLength").is_some_and(|length| length > 0) {
        bad.push(json!(""));
    }
    if schema["pattern"].is_string() {
        bad.push(json!("no such thing"));
    }
    (good, bad)
}

/// Returns the base of all specs: no pods, and a model is trained immediately.
pub fn base() -> Value {
    json!({"data": {"source": {"url": "s3://shop/ratings.csv"}}, "serving": {"replicas": 0}})
}

/// Returns a spec with these values of leaf fields and the other fields that they require.
pub fn spec(schema: &Value, set: &[(&Leaf, &Value)]) -> Value {
    let mut spec = base();
    for (leaf, value) in set {
        if let Some(hint) = hint_of(&leaf.path) {
            let required = serde_json::from_str(hint.requires).unwrap_or_default();
            let parent = leaf.path.strip_suffix(hint.suffix).unwrap_or_default().trim_end_matches('.');
            // For a suffix that starts at the root, such as `training.…`, the parent is `spec`.
            merge(&mut spec, nest(parent, KEY, required));
        }
        let key = if leaf.path.contains("resources.") { "cpu" } else { KEY };
        merge(&mut spec, nest(&leaf.path, key, (*value).clone()));
        keep_one(schema, &mut spec, &leaf.path);
    }
    fill(schema, "", &mut spec, &|path, schema| {
        if path.ends_with("items.source") {
            return json!({"url": "s3://shop/items.csv"});
        }
        if path.ends_with("batch.destination") {
            return json!({"url": "s3://shop/lists"});
        }
        let leaf = Leaf { path: path.to_owned(), schema: schema.clone() };
        values(&leaf).ok().and_then(|values| values.good.first().cloned()).unwrap_or_default()
    });
    spec
}

/// Key in maps of labels and similar fields.
const KEY: &str = "team";
