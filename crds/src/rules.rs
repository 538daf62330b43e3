//! What one field alone cannot say, as CEL rules that the API server checks, each with what to write instead.

/// A CEL rule and its message.
pub type Rule = (&'static str, &'static str);

/// Rules on the whole object.
pub const OBJECT: &[Rule] = &[(
    "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
    "metadata.name: expected at most 40 lower-case letters, digits and dashes, beginning with a letter and not ending with a dash; names of Services are made from it",
)];

/// Rules on the spec that stay.
pub const SPEC: &[Rule] = &[
    (
        "[has(self.data.source.url), has(self.data.source.configMap), has(self.data.source.persistentVolumeClaim)].filter(x, x).size() == 1",
        "data.source: expected exactly one of url, configMap and persistentVolumeClaim",
    ),
    (
        "!has(self.data.items) || [has(self.data.items.source.url), has(self.data.items.source.configMap), has(self.data.items.source.persistentVolumeClaim)].filter(x, x).size() == 1",
        "data.items.source: expected exactly one of url, configMap and persistentVolumeClaim",
    ),
    (
        "!has(self.data.source.secretRef) || has(self.data.source.url)",
        "data.source.secretRef: goes with url; a ConfigMap or a volume needs no credentials",
    ),
    (
        "[has(self.algorithm.als), has(self.algorithm.svd), has(self.algorithm.bpr)].filter(x, x).size() == 1",
        "algorithm: expected exactly one of als, svd and bpr; to change the algorithm, set the old one to null",
    ),
    (
        "self.data.csv.header || (type(self.data.columns.user) == int && type(self.data.columns.item) == int)",
        "data.columns: without a header, give columns.user and columns.item as indexes from 0",
    ),
    (
        "!has(self.algorithm.als) || self.algorithm.als.regularization > 0.0 || self.algorithm.als.unobservedWeight > 0.0",
        "algorithm.als: regularization and unobservedWeight are both 0; set one above 0",
    ),
    (
        "!has(self.data.source.persistentVolumeClaim) || (!self.data.source.persistentVolumeClaim.path.startsWith('/') && !self.data.source.persistentVolumeClaim.path.contains('..'))",
        "data.source.persistentVolumeClaim.path: expected a path within the volume, without a leading slash and without ..",
    ),
    (
        "!has(self.data.items) || !has(self.data.items.source.persistentVolumeClaim) || (!self.data.items.source.persistentVolumeClaim.path.startsWith('/') && !self.data.items.source.persistentVolumeClaim.path.contains('..'))",
        "data.items.source.persistentVolumeClaim.path: expected a path within the volume, without a leading slash and without ..",
    ),
];

/// What this version does not do yet: one line each, removed when it does.
pub const NOT_YET: &[Rule] = &[
    (
        "!has(self.data.format) || self.data.format in ['csv', 'tsv']",
        "data.format: jsonl and parquet come with a later version; convert to csv or tsv",
    ),
    (
        "!has(self.data.source.url) || self.data.source.url.matches('^s3://[^/]+/.*[^/]$')",
        "data.source.url: expected s3://bucket/key.csv; other schemes and whole prefixes come with a later version",
    ),
    (
        "!has(self.data.items) || !has(self.data.items.source.url) || self.data.items.source.url.matches('^s3://[^/]+/.*[^/]$')",
        "data.items.source.url: expected s3://bucket/key.csv; other schemes and whole prefixes come with a later version",
    ),
    ("self.data.signal == 'implicit'", "data.signal: explicit comes with a later version; use implicit"),
    ("!has(self.algorithm.svd)", "algorithm.svd: comes with a later version; use als"),
    ("!has(self.algorithm.bpr)", "algorithm.bpr: comes with a later version; use als"),
    ("self.promotion == 'Automatic'", "promotion: Manual comes with a later version; use Automatic"),
    (
        "!has(self.model) || !has(self.model.revision)",
        "model.revision: pins come with a later version; leave it out, and set suspend: true to keep the present revision",
    ),
    (
        "!has(self.training.schedule) && !has(self.training.timeZone)",
        "training.schedule: schedules come with a later version; annotate the Recommender with recmesh.dev/retrain-at to train again",
    ),
    (
        "!has(self.store)",
        "store: buckets of your own come with a later version; leave it out to use the installation's store",
    ),
    (
        "!has(self.evaluation.gate) || !has(self.evaluation.gate.maxRegression)",
        "evaluation.gate.maxRegression: comes with a later version; use minLiftOverBaseline",
    ),
    ("self.deletionPolicy == 'Retain'", "deletionPolicy: Delete comes with a later version; use Retain"),
];
