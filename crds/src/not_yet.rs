//! What the schema knows and this version does not build. Each is refused with a sentence, so that nothing is accepted and
//! then ignored. Once a thing is built, its rule goes.

use crate::rules::Rule;

const SOURCES: &[&str] = &["spec.data.source", "spec.data.items.source"];
const TABLES: &[&str] = &["spec.data", "spec.data.items"];

/// The refusals.
pub const NOT_YET: &[Rule] = &[
    Rule {
        at: SOURCES,
        rule: "!has(self.url) || !self.url.matches('^(gs|az|https?)://')",
        message: "source.url: gs://, az:// and http(s):// come with a later version; use s3://<bucket>/<key>, a configMap or \
                  a persistentVolumeClaim",
    },
    Rule {
        at: SOURCES,
        rule: "!has(self.url) || !self.url.endsWith('/')",
        message: "source.url: a prefix of many objects (a trailing slash) comes with a later version; use the key of one \
                  object, for example s3://shop/ratings.csv",
    },
    Rule {
        at: SOURCES,
        rule: "![has(self.url) ? self.url : '', has(self.configMap) ? self.configMap.key : '', \
               has(self.persistentVolumeClaim) ? self.persistentVolumeClaim.path : '']\
               .exists(name, name.matches('[.](gz|zst|bz2|xz|zip|lz4)$'))",
        message: "source: compressed files come with a later version; use the file as it was before compression",
    },
    Rule {
        at: TABLES,
        rule: "has(self.format) ? self.format in ['csv', 'tsv'] : \
               ![has(self.source.url) ? self.source.url : '', has(self.source.configMap) ? self.source.configMap.key : '', \
               has(self.source.persistentVolumeClaim) ? self.source.persistentVolumeClaim.path : '']\
               .exists(name, name.matches('[.](jsonl|ndjson|parquet)$'))",
        message: "format: jsonl and parquet come with a later version; use csv or tsv",
    },
    Rule {
        at: &["spec.data"],
        rule: "self.signal == 'implicit'",
        message: "data.signal: explicit comes with a later version; use implicit, which takes ratings as weights (0 or less is \
                  a dislike)",
    },
    Rule {
        at: &["spec.data"],
        rule: "!has(self.items) || !has(self.source.url) || !has(self.items.source.url) || \
               (has(self.source.secretRef) ? self.source.secretRef.name : '') == \
               (has(self.items.source.secretRef) ? self.items.source.secretRef.name : '')",
        message: "data.items.source.secretRef: another Secret than that of data.source comes with a later version; use the \
                  same for both",
    },
    Rule {
        at: &["spec.algorithm"],
        rule: "!has(self.svd)",
        message: "algorithm.svd comes with a later version; use als: {}",
    },
    Rule {
        at: &["spec.algorithm"],
        rule: "!has(self.bpr)",
        message: "algorithm.bpr comes with a later version; use als: {}",
    },
    Rule {
        at: &["spec.training"],
        rule: "!has(self.schedule)",
        message: "training.schedule comes with a later version; until then kubectl annotate --overwrite \
                  recommender <name> recmesh.dev/retrain-at=<time> trains again",
    },
    Rule {
        at: &["spec.serving.fallback"],
        rule: "self.all(source, source == 'popular')",
        message: "serving.fallback: others than popular come with a later version; use [popular]",
    },
    Rule {
        at: &["spec"],
        rule: "!has(self.store)",
        message: "store: a bucket of your own comes with a later version; use the store of the chart by removing the field",
    },
];
