//! CEL rules by which the API server rejects invalid resources: a table of paths, rules and
//! messages. Each message states how to fix the resource.
//!
//! Bounds, lengths and patterns of single fields are attributes of the fields. The rules cover what
//! those cannot express, or only with an unclear message.

/// One rule at one or more paths of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Paths of the rule: property names below the root, separated by dots; empty for the root.
    pub at: &'static [&'static str],
    /// CEL expression over `self`.
    pub rule: &'static str,
    /// Message, with the fix.
    pub message: &'static str,
}

const SOURCES: &[&str] = &["spec.data.source", "spec.data.items.source"];
const RESOURCES: &[&str] = &["spec.serving.resources", "spec.training.resources"];

/// Pattern of one field of a cron expression; `$value` is the pattern of a single value.
macro_rules! cron {
    ($value:literal) => {
        concat!(
            "([*]|",
            $value,
            "(-",
            $value,
            ")?)(/[1-9][0-9]?)?(,([*]|",
            $value,
            "(-",
            $value,
            ")?)(/[1-9][0-9]?)?)*"
        )
    };
}

/// A schedule is a cron expression.
const SCHEDULE: &str = concat!(
    "!has(self.schedule) || self.schedule.matches('^",
    cron!("[0-5]?[0-9]"),
    " +",
    cron!("([01]?[0-9]|2[0-3])"),
    " +",
    cron!("(0?[1-9]|[12][0-9]|3[01])"),
    " +",
    cron!("(0?[1-9]|1[0-2]|[A-Za-z]{3})"),
    " +",
    cron!("([0-7]|[A-Za-z]{3})"),
    "$')"
);
/// A time zone is that of a schedule.
const TIME_ZONE: &str = "!has(self.timeZone) || has(self.schedule)";

/// Rules that reject invalid resources.
pub const RULES: &[Rule] = &[
    Rule {
        at: &[""],
        rule: "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        message: "metadata.name: must be at most 40 lower-case letters, digits and dashes, start with a letter and not end \
                  with a dash, because Services and Jobs are named after it; for example movies",
    },
    Rule {
        at: &[""],
        rule: "self.metadata.name != 'default'",
        message: "metadata.name: must not be default, because that is the name of the ServiceAccount of every namespace; \
                  for example movies",
    },
    Rule {
        at: &[""],
        rule: "!self.metadata.name.endsWith('-pods')",
        message: "metadata.name: must not end with -pods, because movies-pods is the Service of the pods of the Recommender \
                  movies; for example movies-a",
    },
    Rule {
        at: SOURCES,
        rule: "[has(self.url), has(self.configMap), has(self.persistentVolumeClaim)].filter(x, x).size() == 1",
        message: "source: set exactly one of url, configMap and persistentVolumeClaim; for example \
                  url: s3://shop/ratings.csv",
    },
    Rule {
        at: SOURCES,
        rule: "!has(self.secretRef) || has(self.url)",
        message: "source.secretRef is valid only with url: remove it, or set url",
    },
    Rule {
        at: SOURCES,
        rule: "!has(self.url) || self.url.matches('^(s3|gs|az|https?)://[^/?#]+/.*$')",
        message: "source.url: must be s3://<bucket>/<key>, for example s3://shop/ratings.csv (or gs://, az://, https://); \
                  for a service other than AWS, set AWS_ENDPOINT_URL in the Secret of secretRef",
    },
    Rule {
        at: SOURCES,
        rule: "!has(self.url) || !self.url.matches('^https?://') || !self.url.matches('(/$|[?#])')",
        message: "source.url: an https:// URL must name one file and have no query string; for example \
                  https://example.com/ratings.csv.gz",
    },
    Rule {
        at: SOURCES,
        rule: "!has(self.persistentVolumeClaim) || !(self.persistentVolumeClaim.path.startsWith('/') || \
               self.persistentVolumeClaim.path.matches('(^|/)[.][.]?(/|$)'))",
        message: "source.persistentVolumeClaim.path: must be the path of a file or directory relative to the root of the \
                  volume, without a leading slash and without . or .., for example exports/ratings.csv",
    },
    Rule {
        at: SOURCES,
        rule: "![has(self.url) ? self.url : '', has(self.configMap) ? self.configMap.key : '', \
               has(self.persistentVolumeClaim) ? self.persistentVolumeClaim.path : '']\
               .exists(name, name.matches('[.](bz2|xz|zip|lz4|7z|lzo)$'))",
        message: "source: unsupported compression: use gzip (.gz) or zstd (.zst)",
    },
    Rule {
        at: &["spec.store"],
        rule: "has(self.url) && self.url.matches('^(s3|gs|az)://[^/?#]+(/[^?#]*)?$')",
        message: "store.url: must be the URL of a bucket, with an optional path, for example s3://models/recommenders (or \
                  gs://, az://)",
    },
    Rule {
        at: &["spec.data.csv", "spec.data.items.csv"],
        rule: "!has(self.delimiter) || self.delimiter.matches('^[\\t !#-~]$')",
        message: "csv.delimiter: must be one ASCII character other than a quote or a line break, for example \";\"",
    },
    Rule {
        at: &["spec.data.columns"],
        rule: "self.user != self.item",
        message: "columns: user and item must be different columns, for example columns: {user: user_id, item: item_id}",
    },
    Rule {
        at: &["spec.data"],
        rule: "self.csv.header || (type(self.columns.user) == int && type(self.columns.item) == int && \
               (!has(self.columns.rating) || type(self.columns.rating) == int) && \
               (!has(self.columns.timestamp) || type(self.columns.timestamp) == int) && \
               (!has(self.columns.event) || type(self.columns.event) == int))",
        message: "columns: without a header (csv.header: false) columns must be zero-based indexes, for example \
                  columns: {user: 0, item: 1}",
    },
    Rule {
        at: &["spec.data"],
        rule: "has(self.columns.event) == has(self.eventWeights)",
        message: "eventWeights and columns.event require each other: set both or neither, for example \
                  columns: {event: event} and eventWeights: {view: 1, purchase: 10}",
    },
    Rule {
        at: &["spec.data"],
        rule: "!has(self.eventWeights) || self.eventWeights.all(event, event.size() >= 1 && event.size() <= 100 && \
               self.eventWeights[event] != 0.0 && self.eventWeights[event] >= -1000000.0 && self.eventWeights[event] <= 1000000.0)",
        message: "eventWeights: a weight must be from -1000000 to 1000000 and not 0, and the name of an event must have 1 to \
                  100 characters; omit events that do not count",
    },
    Rule {
        at: &["spec.data"],
        rule: "!has(self.halfLife) || (self.halfLife.matches('^([0-9]{1,5}[dh])+$') && !self.halfLife.matches('^(0+[dh])+$'))",
        message: "halfLife: must be whole numbers with d or h, above 0, for example 30d",
    },
    Rule {
        at: &["spec.data"],
        rule: "self.signal == 'implicit' || (!has(self.eventWeights) && !has(self.halfLife) && self.weighting == 'none')",
        message: "eventWeights, halfLife and weighting are valid only with signal: implicit, because an explicit rating is not \
                  a weight: remove them",
    },
    Rule {
        at: &["spec.data.items"],
        rule: "self.csv.header || (type(self.columns.id) == int && \
               (!has(self.columns.title) || type(self.columns.title) == int) && \
               (!has(self.columns.available) || type(self.columns.available) == int) && \
               (!has(self.attributes) || self.attributes.all(column, type(column) == int)))",
        message: "items.columns: without a header (csv.header: false) columns, including attributes, must be zero-based \
                  indexes, for example columns: {id: 0, title: 1}",
    },
    Rule {
        at: &["spec.data.items"],
        rule: "self.csv.header || !has(self.filters) || self.filters.all(filter, type(filter.column) == int)",
        message: "items.filters: without a header (csv.header: false) columns must be zero-based indexes, for example \
                  filters: [{column: 3, name: genre}]",
    },
    Rule {
        at: &["spec.data.items"],
        rule: "!has(self.refresh) || self.refresh.matches('^([0-9]{1,6}[hms])+$') && \
               duration(self.refresh) >= duration('1m') && duration(self.refresh) <= duration('168h')",
        message: "items.refresh: must be from 1m to 168h, in whole h, m and s, for example 5m",
    },
    Rule {
        at: &["spec.algorithm"],
        rule: "[has(self.als), has(self.svd), has(self.bpr), has(self.auto), has(self.compose)].filter(x, x).size() == 1",
        message: "algorithm: set exactly one of als, svd, bpr, auto and compose, for example als: {}; in a merge patch, set the \
                  old one to null",
    },
    Rule {
        at: &["spec"],
        rule: "has(self.data) != (has(self.algorithm) && has(self.algorithm.compose))",
        message: "data: required, for example data: {source: {url: s3://shop/ratings.csv}}, unless algorithm.compose is set, \
                  which trains nothing: remove one of them",
    },
    Rule {
        at: &["spec"],
        rule: "!has(self.algorithm) || !has(self.algorithm.compose) || (!has(self.batch) && !has(self.model) && !has(self.store) && \
               (!has(self.training) || (!has(self.training.schedule) && !has(self.training.tuning))))",
        message: "algorithm.compose trains nothing and has no model of its own: remove batch, model, store, training.schedule and \
                  training.tuning; set them in the parts",
    },
    Rule {
        at: &["spec.algorithm.compose"],
        rule: "[has(self.blend), has(self.cascade), has(self.switch), has(self.split)].filter(x, x).size() == 1",
        message: "algorithm.compose: set exactly one of blend, cascade, switch and split, for example cascade: {parts: [a, b]}",
    },
    Rule {
        at: &["spec.algorithm.compose.blend", "spec.algorithm.compose.split"],
        rule: "self.parts.all(p, self.parts.exists_one(q, q.name == p.name))",
        message: "algorithm.compose: a part is named twice: remove one of them",
    },
    // The API server rounds a minimum down for whole numbers, so 0 passes a minimum of 0.001.
    Rule {
        at: &["spec.algorithm.compose.blend"],
        rule: "self.parts.all(p, p.weight > 0.0)",
        message: "algorithm.compose.blend: a weight is 0: leave out the part",
    },
    Rule {
        at: &["spec.algorithm.compose.cascade"],
        rule: "self.parts.all(p, self.parts.exists_one(q, q == p))",
        message: "algorithm.compose.cascade: a part is named twice: remove one of them",
    },
    Rule {
        at: &["spec.algorithm.compose.switch"],
        rule: "has(self.header) != has(self.field)",
        message: "algorithm.compose.switch: set either header or field, for example header: x-recmesh-segment",
    },
    Rule {
        at: &["spec.algorithm.compose.switch"],
        rule: "!has(self.header) || !(self.header in ['x-recmesh-anchors', 'x-recmesh-attempt', 'x-recmesh-fallback', \
               'x-recmesh-parts-failed'])",
        message: "algorithm.compose.switch.header: the sidecars use this one themselves: choose another one, for example \
                  x-recmesh-segment",
    },
    Rule {
        at: &["spec.algorithm.compose.switch"],
        rule: "self.cases.all(c, self.cases.exists_one(d, d.value == c.value))",
        message: "algorithm.compose.switch.cases: a value is there twice: remove one of the cases",
    },
    Rule {
        at: &["spec.algorithm.auto"],
        rule: "self.budget.matches('^([0-9]{1,6}[hms])+$') && duration(self.budget) >= duration('10s') && \
               duration(self.budget) <= duration('168h')",
        message: "algorithm.auto.budget: must be from 10s to 168h, in whole h, m and s, for example 20m",
    },
    Rule {
        at: &["spec"],
        rule: "!has(self.training) || !has(self.training.tuning) || !has(self.algorithm) || !has(self.algorithm.auto)",
        message: "training.tuning is not valid with algorithm.auto, which searches parameters itself: remove it",
    },
    Rule {
        at: &["spec.algorithm.als"],
        rule: "!has(self.regularization) || self.regularization > 0.0 || !has(self.unobservedWeight) || self.unobservedWeight > 0.0",
        message: "als: regularization and unobservedWeight are both 0, so rows without interactions are underdetermined: set \
                  one of them above 0, for example regularization: 0.003",
    },
    Rule {
        at: &["spec.algorithm.als"],
        rule: "!has(self.popularityBoost) || self.popularityBoost == 0.0 || !has(self.degreeExponent) || self.degreeExponent > 0.0",
        message: "als: popularityBoost requires degreeExponent above 0, because it undoes part of that debiasing: set \
                  degreeExponent, for example 0.5, or remove popularityBoost",
    },
    Rule {
        at: &["spec.algorithm.bpr"],
        rule: "self.learningRate * self.regularization <= 1.0",
        message: "bpr: learningRate times regularization is above 1, so a step would flip the sign of the factors: lower one of \
                  them, for example regularization: 0.003",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.bpr)",
        message: "algorithm.bpr is valid only with data.signal: implicit, because it learns from chosen and unchosen items: use \
                  als: {} or svd: {} for ratings",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.svd) || !has(self.algorithm.svd.degreeExponent) || \
               self.algorithm.svd.degreeExponent == 0.0",
        message: "svd.degreeExponent is valid only with data.signal: implicit, because user and item averages serve its \
                  purpose for ratings: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.svd) || \
               !has(self.algorithm.svd.userDegreeExponent) || self.algorithm.svd.userDegreeExponent == 0.0",
        message: "svd.userDegreeExponent is valid only with data.signal: implicit, because user and item averages serve its \
                  purpose for ratings: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.svd) || \
               !has(self.algorithm.svd.coOccurrenceWeight) || self.algorithm.svd.coOccurrenceWeight == 0.0",
        message: "svd.coOccurrenceWeight is valid only with data.signal: implicit, because users who share an item may have \
                  rated it differently: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || \
               !has(self.algorithm.als.userDegreeExponent) || self.algorithm.als.userDegreeExponent == 0.0",
        message: "als.userDegreeExponent is valid only with data.signal: implicit, because it belongs to the two-hop term, \
                  which als and svd have for implicit data only: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || \
               !has(self.algorithm.als.coOccurrenceWeight) || self.algorithm.als.coOccurrenceWeight == 0.0",
        message: "als.coOccurrenceWeight is valid only with data.signal: implicit, because users who share an item may have \
                  rated it differently: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || \
               !has(self.algorithm.als.degreeExponent) || self.algorithm.als.degreeExponent == 0.0",
        message: "als.degreeExponent is valid only with data.signal: implicit, because user and item averages serve its \
                  purpose for ratings: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || \
               !has(self.algorithm.als.popularityBoost) || self.algorithm.als.popularityBoost == 0.0",
        message: "als.popularityBoost is valid only with data.signal: implicit, because it undoes part of the debiasing by \
                  degreeExponent: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.training) || !has(self.training.tuning) || \
               has(self.training.tuning.factorsMax) || !has(self.algorithm) || !has(self.algorithm.svd)",
        message: "training.tuning: with algorithm.svd and data.signal: explicit only the number of factors can be searched: set \
                  training.tuning.factorsMax, for example 128, or remove tuning",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || !has(self.algorithm.als.unobservedWeight)",
        message: "als.unobservedWeight is valid only with data.signal: implicit, because unrated items carry no information \
                  about ratings: remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'explicit' || !has(self.algorithm) || !has(self.algorithm.als) || !has(self.algorithm.als.sampling)",
        message: "als.sampling is valid only with data.signal: explicit, because it estimates the noise of the ratings: \
                  remove it",
    },
    Rule {
        at: &["spec"],
        rule: "self.data.signal == 'implicit' || !has(self.algorithm) || !has(self.algorithm.als) || !has(self.algorithm.als.regularization) || \
               self.algorithm.als.regularization > 0.0",
        message: "als.regularization is 0, so the factors of users with few ratings are underdetermined: remove it, or set it \
                  above 0, for example 0.1",
    },
    Rule {
        at: &["spec.evaluation"],
        rule: "self.holdout > 0.0",
        message: "evaluation.holdout: must be above 0 and at most 0.5, for example 0.1",
    },
    Rule {
        at: &["spec.training"],
        rule: SCHEDULE,
        message: "training.schedule: must be a cron expression of five fields (minute, hour, day of the month, month, day of \
                  the week), for example \"0 3 * * *\"",
    },
    Rule {
        at: &["spec.training"],
        rule: TIME_ZONE,
        message: "training.timeZone is valid only with schedule: remove it, or set schedule",
    },
    Rule {
        at: &["spec.batch"],
        rule: SCHEDULE,
        message: "batch.schedule: must be a cron expression of five fields (minute, hour, day of the month, month, day of \
                  the week), for example \"0 5 * * *\"",
    },
    Rule {
        at: &["spec.batch"],
        rule: TIME_ZONE,
        message: "batch.timeZone is valid only with schedule: remove it, or set schedule",
    },
    Rule {
        at: &["spec.batch.destination"],
        rule: "self.url.matches('^(s3|gs|az)://[^/?#]+(/[^?#]*)?$')",
        message: "batch.destination.url: must be the URL of a bucket, with an optional path, for example s3://shop/lists (or \
                  gs://, az://)",
    },
    Rule {
        at: &["spec.training"],
        rule: "self.startingDeadline.matches('^([0-9]{1,6}[hms])+$') && \
               duration(self.startingDeadline) >= duration('10s') && duration(self.startingDeadline) <= duration('168h')",
        message: "training.startingDeadline: must be from 10s to 168h, in whole h, m and s, for example 12h",
    },
    Rule {
        at: &["spec.training"],
        rule: "!has(self.dataCheckInterval) || self.dataCheckInterval.matches('^([0-9]{1,6}[hms])+$') && \
               (duration(self.dataCheckInterval) == duration('0s') || \
               duration(self.dataCheckInterval) >= duration('1m') && \
               duration(self.dataCheckInterval) <= duration('168h'))",
        message: "training.dataCheckInterval: must be from 1m to 168h, in whole h, m and s, for example 15m; or 0s for never",
    },
    Rule {
        at: &["spec.training"],
        rule: "self.deadline.matches('^([0-9]{1,6}[hms])+$') && duration(self.deadline) >= duration('10s') && \
               duration(self.deadline) <= duration('168h')",
        message: "training.deadline: must be from 10s to 168h, in whole h, m and s, for example 1h30m",
    },
    Rule {
        at: &["spec.training"],
        rule: "!has(self.tuning) || (self.tuning.budget.matches('^([0-9]{1,6}[hms])+$') && \
               duration(self.tuning.budget) >= duration('10s') && duration(self.tuning.budget) <= duration('168h'))",
        message: "training.tuning.budget: must be from 10s to 168h, in whole h, m and s, for example 20m",
    },
    Rule {
        at: &["spec.model"],
        rule: "!has(self.revision) || self.revision.matches('^([0-9a-f]{10}|[0-9a-f]{64})$')",
        message: "model.revision: must be 10 or 64 lower-case hex digits, as in status.history, for example 3f9a1c20be",
    },
    Rule {
        at: &["spec.serving.allowFrom"],
        rule: "self.all(peer, has(peer.ipBlock) != (has(peer.podSelector) || has(peer.namespaceSelector)))",
        message: "serving.allowFrom: a peer must be either an ipBlock, or a podSelector or namespaceSelector or both; for \
                  example namespaceSelector: {matchLabels: {team: web}}",
    },
    Rule {
        at: &["spec.serving.allowFrom"],
        rule: "self.all(peer, !has(peer.ipBlock) || isCIDR(peer.ipBlock.cidr))",
        message: "serving.allowFrom: ipBlock.cidr must be an address range, for example 10.0.0.0/8",
    },
    Rule {
        at: &["spec.access"],
        rule: "self.plaintext != 'Never' || self.identity != 'None'",
        message: "access: nobody can ask serving pods that have no certificate (identity: None) and refuse plaintext \
                  (plaintext: Never); change one of them",
    },
    Rule {
        at: &["spec.serving.tolerations", "spec.training.tolerations"],
        rule: "self.all(t, (!has(t.effect) || t.effect in ['', 'NoSchedule', 'PreferNoSchedule', 'NoExecute']) && \
               (has(t.operator) && t.operator == 'Exists' ? !has(t.value) || t.value == '' : \
               (!has(t.operator) || t.operator in ['', 'Equal']) && has(t.key) && t.key != ''))",
        message: "tolerations: operator must be Exists (without value) or Equal (with key), and effect NoSchedule, \
                  PreferNoSchedule or NoExecute; for example {key: gpu, operator: Exists, effect: NoSchedule}",
    },
    Rule {
        at: RESOURCES,
        rule: "[has(self.requests) ? self.requests : {}, has(self.limits) ? self.limits : {}].all(map, map.all(name, \
               name in ['cpu', 'memory', 'ephemeral-storage'] || name.contains('/') || name.startsWith('hugepages-')))",
        message: "resources: names must be cpu, memory, ephemeral-storage, hugepages-<size> or <domain>/<name>; for example \
                  requests: {cpu: 500m, memory: 1Gi}",
    },
    Rule {
        at: RESOURCES,
        rule: "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || \
               quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
        message: "resources: a request is above its limit: lower the request or raise the limit",
    },
    Rule {
        at: &["spec.serving.labels", "spec.training.labels"],
        rule: "self.all(key, !key.startsWith('recmesh.dev/') && !key.startsWith('app.kubernetes.io/'))",
        message: "labels: the prefixes recmesh.dev/ and app.kubernetes.io/ are reserved for the operator: use other keys",
    },
    Rule {
        at: &["spec.serving.annotations", "spec.training.annotations"],
        rule: "self.all(key, !key.startsWith('recmesh.dev/'))",
        message: "annotations: the prefix recmesh.dev/ is reserved for the operator: use other keys",
    },
    Rule {
        at: &[
            "spec.serving.labels",
            "spec.training.labels",
            "spec.serving.annotations",
            "spec.training.annotations",
            "spec.serving.nodeSelector",
            "spec.training.nodeSelector",
        ],
        rule: "self.all(key, !format.qualifiedName().validate(key).hasValue())",
        message: "keys must consist of letters, digits, dashes, dots and underscores, with an optional domain prefix; for example \
                  team or example.com/team",
    },
];
