//! Tests of the generated files and the examples.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use recommender_crds::{
    CRD_BYTES_MAX, ConditionType, Reason, Recommender, crd, crd_yaml, rules::RULES, unsupported::UNSUPPORTED,
};
use serde_json::Value;

pub fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of a directory, sorted.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The manifests with the Recommenders of the examples. A directory is an example of several files.
pub fn examples() -> Vec<PathBuf> {
    let (directories, files): (Vec<_>, Vec<_>) =
        files(&package().join("examples")).into_iter().partition(|path| path.is_dir());
    files.into_iter().chain(directories.into_iter().map(|directory| directory.join("recommender.yaml"))).collect()
}

#[test]
fn committed_files_match_the_types() {
    for file in ["recommenders.yaml", "../charts/recmesh/files/recommenders.yaml"] {
        let path = package().join(file);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&path, crd_yaml()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == crd_yaml(), "crds/{file} is stale: run this test with UPDATE_EXPECT=1");
    }
}

#[test]
fn the_definition_is_within_its_size_limit() {
    assert!(crd_yaml().len() < CRD_BYTES_MAX, "{} bytes", crd_yaml().len());
}

#[test]
fn every_field_has_a_description() {
    fn visit(path: &str, node: &Value, without: &mut Vec<String>) {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let described = child["description"].as_str().is_some_and(|text| text.len() > 10);
            if !described && path != ".metadata" {
                without.push(path.clone());
            }
            visit(&path, child, without);
        }
        if node["items"].is_object() {
            visit(&format!("{path}[]"), &node["items"], without);
        }
    }
    let crd = serde_json::to_value(crd()).unwrap();
    let mut without = Vec::new();
    visit("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut without);
    assert_eq!(without, Vec::<String>::new(), "fields without a description");
}

/// Words that a reader of YAML 1.1, such as kubectl, takes for true or false: as a field name,
/// `n` becomes "false" in manifests and in the definition alike, and its value is never seen.
#[test]
fn no_field_is_a_boolean_in_yaml_1_1() {
    const BOOLEANS: [&str; 8] = ["y", "yes", "n", "no", "true", "false", "on", "off"];
    fn visit(node: &Value, fields: &mut usize) {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            assert!(!BOOLEANS.contains(&name.to_lowercase().as_str()), "field {name}");
            *fields += 1;
            visit(child, fields);
        }
        for inner in ["items", "additionalProperties"] {
            if node[inner].is_object() {
                visit(&node[inner], fields);
            }
        }
    }
    let crd = serde_json::to_value(crd()).unwrap();
    let mut fields = 0;
    visit(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut fields);
    assert!(fields > 200, "{fields} fields");
}

#[test]
fn stated_defaults_match_the_schema() {
    fn visit(path: &str, node: &Value, checked: &mut usize) {
        for (name, child) in node["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let text = child["description"].as_str().unwrap_or_default();
            if let Some((_, rest)) = text.split_once("Default: ") {
                let stated = rest.split([',', ' ']).next().unwrap().trim_end_matches('.');
                let default = match &child["default"] {
                    Value::String(text) => text.clone(),
                    Value::Array(list) => list[0].as_str().unwrap().to_owned(),
                    Value::Number(number) => number.as_f64().unwrap().to_string(),
                    other => other.to_string(),
                };
                assert_eq!(stated, default, "{path}: {text}");
                *checked += 1;
            }
            visit(&path, child, checked);
        }
    }
    let crd = serde_json::to_value(crd()).unwrap();
    let mut checked = 0;
    visit("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut checked);
    assert!(checked >= 20, "{checked}");
}

#[test]
fn each_rule_has_a_bad_resource_that_it_rejects() {
    let expected: Vec<String> = files(&package().join("tests/bad"))
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            let first = text.lines().next().unwrap();
            first.strip_prefix("# expected: ").unwrap_or_else(|| panic!("{}: {first}", file.display())).to_owned()
        })
        .collect();
    for rule in RULES.iter().chain(UNSUPPORTED) {
        let tested = expected.iter().any(|expected| rule.message.starts_with(expected.as_str()));
        assert!(tested, "no file of crds/tests/bad expects {:?}", rule.message);
    }
}

#[test]
fn examples_parse_as_recommenders() {
    let mut seen = 0;
    for file in examples() {
        let text = std::fs::read_to_string(&file).unwrap();
        for document in
            text.split("\n---\n").filter(|document| document.lines().any(|line| line == "kind: Recommender"))
        {
            let parsed: Recommender = serde_yaml_ng::from_str(document).unwrap();
            assert!(parsed.spec.chosen_algorithm().is_some(), "{}", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 5, "{seen}");
}

/// These files are output of `recmesh-sidecar suggest`. A test of the sidecar keeps them up to
/// date, and a real API server accepts them.
#[test]
fn suggested_resources_have_known_fields_only() {
    fn visit(path: &str, node: &Value, schema: &Value) {
        for (name, child) in node.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let properties = &schema["properties"];
            // Keys of quantities are arbitrary names.
            let known = if properties.is_object() { &properties[name] } else { &schema["additionalProperties"] };
            assert!(known.is_object(), "{path} is not in the definition");
            visit(&path, child, known);
        }
    }
    let crd = serde_json::to_value(crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let suggested = files(&package().join("tests/suggested"));
    assert_eq!(suggested.len(), 3);
    for file in suggested {
        let text = std::fs::read_to_string(&file).unwrap();
        let parsed: Recommender = serde_yaml_ng::from_str(&text).unwrap();
        assert!(parsed.spec.chosen_algorithm().is_some(), "{}", file.display());
        let document: Value = serde_yaml_ng::from_str(&text).unwrap();
        visit("spec", &document["spec"], schema);
    }
}

const BAD_RESOURCES: &str = "# Bad resources

How the API server rejects an invalid `Recommender` when it is applied: status 422, reason `Invalid`, with the path of
the field before the message. Nothing of a rejected resource is stored, and the existing resource does not change.
Problems that appear only later, such as a missing Secret or a column that the data does not have, are reported in the
conditions of the status. A test generates this table from the resources in `crds/tests/bad`; a real API server rejects
each of them with this message.

| spec | message |
|---|---|
";

#[test]
fn docs_list_the_bad_resources() {
    let mut text = BAD_RESOURCES.to_owned();
    let bad = files(&package().join("tests/bad"));
    assert!(bad.len() >= 40, "{}", bad.len());
    for file in bad {
        let yaml = std::fs::read_to_string(&file).unwrap();
        let (first, _) = yaml.split_once('\n').unwrap();
        let expected = first.trim_start_matches("# expected: ");
        let rule = RULES.iter().chain(UNSUPPORTED).find(|rule| rule.message.starts_with(expected));
        let message = rule.map_or(expected, |rule| rule.message).replace('|', "\\|");
        let document: Value = serde_yaml_ng::from_str(&yaml).unwrap();
        let name = &document["metadata"]["name"];
        let named = if name == "movies" { String::new() } else { format!("metadata.name: {name}, ") };
        let spec = document["spec"].to_string().replace('|', "\\|");
        writeln!(text, "| {named}`{spec}` | {message} |").unwrap();
    }
    let path = package().join("../docs/bad-resources.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/bad-resources.md is stale: run this test with UPDATE_EXPECT=1");
}

/// Appends all Rust code below a directory, without tests.
fn code(directory: &Path, text: &mut String) {
    for path in files(directory) {
        if path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            code(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The operator sets most reasons itself, and passes on those of trainer and sidecar.
#[test]
fn every_reason_and_condition_is_used() {
    let of = |package_path: &str| {
        let mut text = String::new();
        code(&package().join("..").join(package_path).join("src"), &mut text);
        text
    };
    let (operator, others) = (of("operator"), of("sidecar/trainer") + &of("sidecar"));
    for reason in Reason::ALL {
        let used = operator.contains(&format!("Reason::{reason}")) || others.contains(&format!("\"{reason}\""));
        assert!(used, "{reason} is not used: use it or remove it");
    }
    for kind in ConditionType::ALL {
        assert!(operator.contains(&format!("ConditionType::{kind}")), "{kind} is not used: use it or remove it");
    }
}
