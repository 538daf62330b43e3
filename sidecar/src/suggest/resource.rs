//! The resource as YAML: only settings that differ from the defaults, with comments that explain
//! the guesses.

use std::fmt::Write as _;

use recommender_trainer::format_of;
use sidecar_contract::{Algorithm, AlsConfig, Column, Csv, Format, Signal, SplitKind};

use super::{
    Suggestion,
    columns::Columns,
    grouped,
    location::{CLAIM_PLACEHOLDER, DataLocation, shell_word},
    sizes::{ASSUMED_CPUS, Sizes, mebibytes, quantity},
    wrapped,
};

/// Maximum line length of comments.
const COMMENT_CHARS: usize = 100;
/// Plain words that YAML does not read as strings.
const YAML_KEYWORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
/// Default column names of the resource.
const DEFAULT_COLUMNS: [(&str, &str); 5] =
    [("user", "user_id"), ("item", "item_id"), ("rating", "rating"), ("timestamp", "timestamp"), ("id", "item_id")];

/// Renders the document.
pub fn render(suggestion: &Suggestion) -> String {
    let Suggestion {
        name,
        path,
        config,
        shape,
        columns,
        items,
        signal,
        profile,
        ratings: _,
        location,
        items_location,
        sizes,
    } = suggestion;
    let mut yaml = Yaml::default();
    let (rows, users, items_count) = (grouped(profile.rows.read), grouped(profile.users()), grouped(profile.items()));
    let part = if profile.fraction_read < 1.0 { " in the part that was read" } else { "" };
    yaml.comment(0, &format!("For {path}: {shape}; {rows} rows, {users} users, {items_count} items{part}."));
    yaml.comment(0, "");
    yaml.line(0, &create_config_map_command(suggestion));
    yaml.line(0, &format!("#   kubectl apply -f {name}.yaml"));
    yaml.line(0, &format!("#   kubectl wait --for=condition=Ready recommender/{name} --timeout=1h"));
    yaml.line(
        0,
        &format!("apiVersion: recmesh.dev/v1alpha1\nkind: Recommender\nmetadata:\n  name: {name}\nspec:\n  data:"),
    );
    yaml.source(2, location);
    yaml.format(2, config.format, &config.csv, location);
    yaml.comment(2, &format!("{}.", columns.described()));
    yaml.columns(2, columns);
    let explicit = config.signal == Signal::Explicit;
    yaml.comment(2, &format!("{}: {}.", if explicit { "Explicit" } else { "Implicit (the default)" }, signal.reason));
    if explicit {
        yaml.line(2, "signal: explicit");
    }
    if let (Some(table), Some((columns, _)), Some(location)) = (&config.items, items, items_location) {
        yaml.line(2, "items:");
        yaml.source(3, location);
        yaml.format(3, table.format, &table.csv, location);
        yaml.comment(3, &format!("{}.", columns.described()));
        yaml.columns(3, columns);
        yaml.attributes(3, columns, profile.cold_items);
    }
    yaml.algorithm(&config.algorithm);
    yaml.evaluation(sizes, explicit);
    let (request, limit) = sizes.training;
    yaml.line(1, "training:");
    let peak = mebibytes(request);
    yaml.comment(
        2,
        &format!(
            "A run takes at most about {peak} on a node with {ASSUMED_CPUS} CPUs; the limit adds a quarter or more."
        ),
    );
    yaml.line(2, &format!("resources:\n      requests: {{cpu: 100m, memory: {}}}", quantity(request)));
    yaml.line(3, &format!("limits: {{memory: {}}}", quantity(limit)));
    yaml.line(1, "serving:");
    yaml.comment(
        2,
        &format!(
            "With two replicas one can restart while the other serves. Each holds the model, about {}.",
            mebibytes(sizes.model_bytes)
        ),
    );
    yaml.line(2, "replicas: 2");
    let (request, limit) = sizes.serving;
    yaml.line(2, &format!("resources:\n      requests: {{cpu: 50m, memory: {}}}", quantity(request)));
    yaml.line(3, &format!("limits: {{memory: {}}}", quantity(limit)));
    yaml.0
}

/// The command that creates the ConfigMap, if one must be created.
fn create_config_map_command(Suggestion { path, items, location, items_location, .. }: &Suggestion) -> String {
    let files = [(Some(location), Some(path)), (items_location.as_ref(), items.as_ref().map(|(_, path)| path))];
    let mut command = String::new();
    for (location, path) in files {
        let (Some(DataLocation::ConfigMap { name, key, must_create: true }), Some(path)) = (location, path) else {
            continue;
        };
        if command.is_empty() {
            command = format!("#   kubectl create configmap {name}");
        }
        let _ = write!(command, " --from-file={}", shell_word(&format!("{key}={path}")));
    }
    command.replace(char::is_control, " ")
}

fn column_text(column: &Column) -> String {
    match column {
        Column::Index(index) => index.to_string(),
        Column::Name(name) => text(name),
    }
}

/// A scalar that YAML reads as this string, also in flow style.
fn text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let is_text = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(plain)
        && !YAML_KEYWORDS.contains(&text.to_ascii_lowercase().as_str());
    // A JSON string is a valid YAML string.
    if is_text { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A document, built line by line.
#[derive(Default)]
struct Yaml(String);

impl Yaml {
    fn line(&mut self, depth: usize, text: &str) {
        if !text.is_empty() {
            let _ = writeln!(self.0, "{:1$}{text}", "", 2 * depth);
        }
    }

    fn comment(&mut self, depth: usize, text: &str) {
        let start = format!("{:1$}# ", "", 2 * depth);
        // File and column names may contain control characters.
        let text = text.replace(char::is_control, " ");
        self.0 += wrapped(&text, &start, &start, COMMENT_CHARS).trim_end();
        self.0.push('\n');
    }

    fn source(&mut self, depth: usize, location: &DataLocation) {
        let line = match location {
            DataLocation::Url(url) => {
                self.comment(
                    depth,
                    "If the data is not public, add secretRef: {name: SECRET} below. docs/data.md lists the keys of the Secret.",
                );
                format!("url: {}", serde_json::Value::from(url.as_str()))
            }
            DataLocation::ConfigMap { name, key, .. } => {
                format!("configMap: {{name: {}, key: {}}}", text(name), text(key))
            }
            DataLocation::Claim { name, path } => {
                if name == CLAIM_PLACEHOLDER {
                    self.comment(
                        depth,
                        "The data does not fit into a ConfigMap. Fill in the PersistentVolumeClaim of a volume that holds it and the path \
                         on that volume, or use url: s3://BUCKET/KEY (gs://, az://, https://) instead.",
                    );
                }
                format!("persistentVolumeClaim: {{claimName: {}, path: {}}}", text(name), text(path))
            }
        };
        self.line(depth, "source:");
        self.line(depth + 1, &line);
    }

    /// The format of the file, unless its name in the cluster implies it.
    fn format(&mut self, depth: usize, format: Option<Format>, csv: &Csv, location: &DataLocation) {
        let implied = location.file_name().and_then(format_of);
        if let Some(format) = format.filter(|format| implied != Some(*format)) {
            let word = serde_json::to_value(format).unwrap_or_default();
            self.line(depth, &format!("format: {}", word.as_str().unwrap_or_default()));
        }
        let header = (!csv.header).then(|| "header: false".to_owned());
        let delimiter = csv.delimiter.map(|c| format!("delimiter: {}", serde_json::Value::from(c.to_string())));
        let parts: Vec<String> = header.into_iter().chain(delimiter).collect();
        if !parts.is_empty() {
            self.line(depth, &format!("csv: {{{}}}", parts.join(", ")));
        }
    }

    fn columns(&mut self, depth: usize, columns: &Columns) {
        let is_default = |role: &str, column: &Column| match column {
            Column::Name(name) => DEFAULT_COLUMNS.contains(&(role, name.as_str())),
            Column::Index(_) => false,
        };
        let guesses = columns.guesses.iter().filter(|guess| !is_default(guess.role, &guess.column));
        let parts: Vec<String> =
            guesses.map(|guess| format!("{}: {}", guess.role, column_text(&guess.column))).collect();
        if !parts.is_empty() {
            self.line(depth, &format!("columns: {{{}}}", parts.join(", ")));
        }
    }

    /// Item features, if there are any.
    fn attributes(&mut self, depth: usize, columns: &Columns, cold_items: Option<u64>) {
        if columns.attributes.is_empty() {
            return;
        }
        let cold = grouped(cold_items.unwrap_or(0));
        self.comment(
            depth,
            &format!(
                "Columns whose values several items share. By them the {cold} items without interactions can be recommended. \
                 Each run then fits one more model to measure this."
            ),
        );
        let names: Vec<String> = columns.attributes.iter().map(column_text).collect();
        self.line(depth, &format!("attributes: [{}]", names.join(", ")));
    }

    /// Split and gate, where they differ from the defaults.
    fn evaluation(&mut self, sizes: &Sizes, explicit: bool) {
        let (split, gate) = (sizes.split.as_ref(), sizes.gate());
        if split.is_none() && gate.is_none() {
            return;
        }
        self.line(1, "evaluation:");
        if let Some((SplitKind::Random, reason)) = split {
            self.comment(2, &format!("Not a time split: {reason}."));
            self.line(2, "split: random");
        }
        if let Some(gate) = gate {
            let baseline = if explicit { "bias baseline (rmse)" } else { "popularity baseline (ndcg)" };
            self.comment(
                2,
                &format!(
                    "With about {} test users the 95 % interval of the lift over the {baseline} is about ±{:.0} %. This gate \
                     accepts a model that is as good as the baseline; the default 0 requires one that is certainly no worse. \
                     Raise it when there is more data.",
                    grouped(sizes.test_users),
                    -100.0 * gate
                ),
            );
            self.line(2, &format!("gate: {{minLiftOverBaseline: {gate}}}"));
        }
    }

    fn algorithm(&mut self, algorithm: &Algorithm) {
        match algorithm {
            Algorithm::Als(als) if als.factors != AlsConfig::WIRE_DEFAULT.factors => {
                self.line(1, "algorithm:");
                self.comment(2, "Fewer factors than by default, because the data is small: more would fit noise.");
                self.line(2, &format!("als: {{factors: {}}}", als.factors));
            }
            Algorithm::Auto(limits) => {
                self.line(1, "algorithm:");
                self.comment(
                    2,
                    "Each run chooses an algorithm and its parameters by a search, because the best ones depend on the data. \
                     Its result can be set here instead: status.model.algorithm and status.model.parameters.",
                );
                self.line(2, &format!("auto: {{factorsMax: {}}}", limits.factors_max));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_names_are_yaml_strings() {
        for (name, expected) in [("userId", "userId"), ("user id", "\"user id\""), ("no", "\"no\""), ("1st", "\"1st\"")]
        {
            assert_eq!(text(name), expected);
        }
        assert_eq!(text("a: \"b\""), r#""a: \"b\"""#);
    }
}
