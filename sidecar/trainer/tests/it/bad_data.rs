//! Each invalid input fails with the right reason, and the message names the field to change.

use recommender_trainer::Limits;
use sidecar_contract::{
    Algorithm, AlsConfig, BprConfig, Column, ExitCode, Items, RowCounts, Signal, Source, SvdConfig,
};

use crate::setup::{Setup, csv, grouped_visits};

/// The source fails as invalid data, and the message contains these words.
fn check_bad(content: impl AsRef<[u8]>, words: &[&str]) {
    let setup = Setup::new("ratings.csv", content);
    check_message(&setup.failed(ExitCode::BadData, "DataInvalid"), words);
}

fn check_message(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

#[test]
fn empty_files_and_files_with_only_a_header_fail() {
    check_bad("", &["is empty"]);
    check_bad("\u{feff}\n\n", &["is empty"]);
    check_bad("user_id,item_id\n", &["a header but no rows"]);
}

#[test]
fn missing_column_message_lists_existing_columns_and_the_field_to_change() {
    check_bad("uid,item_id\na,1\n", &["no column \"user_id\"", "\"uid\", \"item_id\"", "spec.data.columns.user"]);
    check_bad("user_id,movie\na,1\n", &["no column \"item_id\"", "\"movie\"", "spec.data.columns.item"]);
    check_bad("user_id\titem_id\na\t1\n", &["no column \"user_id\"", "user_id\\titem_id"]);
    check_bad("user_id,user_id,item_id\na,b,1\n", &["more than one column \"user_id\"", "number"]);
    let mut setup = Setup::new("ratings.csv", "user_id,item_id\na,1\n");
    setup.config.columns.rating = Some(Column::Name("stars".to_owned()));
    check_message(&setup.failed(ExitCode::BadData, "DataInvalid"), &["\"stars\"", "spec.data.columns.rating"]);
    setup = Setup::new("ratings.csv", "user_id,item_id\na,1\n");
    setup.config.columns.timestamp = Some(Column::Index(2));
    check_message(&setup.failed(ExitCode::BadData, "DataInvalid"), &["column number 2", "2 columns", "timestamp"]);
    setup = Setup::new("ratings.csv", "a,1\n");
    setup.config.csv.header = false;
    check_message(&setup.failed(ExitCode::BadData, "DataInvalid"), &["no header", "spec.data.columns.user", "number"]);
}

#[test]
fn long_column_lists_are_truncated() {
    let header: Vec<String> = (1..=300).map(|i| "c".repeat(i)).collect();
    check_bad(header.join(",") + "\n", &[&format!("{:?} and 280 more", "c".repeat(20))]);
}

#[test]
fn first_line_that_may_be_data_is_not_quoted() {
    for row in ["user4711,soap", "4711,soap", "ann@example.com,soap", "ann,soap,", "ann,soap,3.5"] {
        let setup = Setup::new("ratings.csv", format!("{row}\n{row}\n"));
        let message = setup.failed(ExitCode::BadData, "DataInvalid");
        check_message(&message, &["appears to be data", "csv.header: false", "spec.data.columns.user"]);
        assert!(!message.contains("soap") && !message.contains("4711") && !message.contains("ann"), "{message}");
    }
}

#[test]
fn message_without_usable_rows_lists_the_drop_reasons() {
    check_bad("user_id,item_id\n,1\n,2\na,\n", &["3 read", "2 emptyUser (first: row 1)", "1 emptyItem (first: row 3)"]);
    check_bad("user_id,item_id,rating\na,1,x\nb,1,NaN\nc,1,inf\nd,1,\n", &["2 notANumber", "2 notFinite"]);
    check_bad(b"user_id,item_id\n\xff\xfe,1\n", &["1 notUtf8"]);
}

#[test]
fn dropping_more_than_half_of_the_rows_fails_and_half_does_not() {
    check_bad("user_id,item_id\na,1\n,1\n,2\n", &["more than half", "3 read", "2 emptyUser"]);
    let (result, _) = Setup::new("ratings.csv", "user_id,item_id\na,1\nb,1\n,1\n,2\n").trained();
    assert_eq!((result.rows.read, result.rows.kept, result.rows.dropped["emptyUser"]), (4, 2, 2));
}

#[test]
fn unclosed_quote_fails_the_run() {
    let visits = csv(&grouped_visits());
    let (start, rest) = visits.split_at(visits.len() / 4);
    let start = &start[..=start.rfind('\n').unwrap()];
    check_bad(format!("{start}\"{rest}"), &["more than half", "wrongFieldCount"]);
}

#[test]
fn invalid_rows_are_dropped_and_counted_and_valid_rows_are_kept() {
    let long_id = "x".repeat(1025);
    let long_row = "x".repeat(70_000);
    let mut text = b"user_id,item_id,rating,timestamp\n".to_vec();
    for user in 0..20 {
        text.extend_from_slice(format!("u{user},i{},1,{user}\n", user % 4).as_bytes());
    }
    text.extend_from_slice(
        format!(
            ",i1,1,1\n  ,i1,1,1\nu1,,1,1\n{long_id},i1,1,1\nu1,i1,five,1\nu1,i1,NaN,1\nu1,i1,-inf,1\nu1,i1,1e39,1\n\
             u1,i1,1,yesterday\nu1,i1,1\nu1,i1,1,1,1\n{long_row},i1,1,1\n"
        )
        .as_bytes(),
    );
    text.extend_from_slice(b"\xc3\x28,i1,1,1\n");
    let (result, _) = Setup::new("ratings.csv", text).trained();
    let RowCounts { read, kept, dropped, merged, reinterpreted: _ } = result.rows;
    assert_eq!((read, kept, merged), (33, 20, 0));
    let expected = [
        ("badTimestamp", 1),
        ("emptyItem", 1),
        ("emptyUser", 2),
        ("idTooLong", 1),
        ("notANumber", 1),
        ("notFinite", 3),
        ("notUtf8", 1),
        ("rowTooLong", 1),
        ("wrongFieldCount", 2),
    ];
    assert_eq!(dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_missing_file_of_a_config_map_is_named_in_the_terms_of_the_cluster() {
    let mut setup = Setup::new("ratings.csv", "");
    let mount = setup.directory.path().join("interactions");
    std::fs::create_dir(&mount).unwrap();
    setup.options.data_dir = setup.directory.path().to_owned();
    setup.config.source.url = format!("file://{}/ratings.csv", mount.display());
    setup.config.source.described_as = "key ratings.csv of ConfigMap shop/nope".to_owned();
    let message = setup.failed(ExitCode::NoInput, "SourceNotFound");
    let expected = "ConfigMap shop/nope does not exist, or has no keys: create it with the key ratings.csv. Check spec.data.source";
    assert_eq!(message, expected);

    setup.config.run.number = 2;
    std::fs::create_dir(mount.join("..2026_data")).unwrap();
    std::fs::write(mount.join("visits.csv"), "").unwrap();
    let message = setup.failed(ExitCode::NoInput, "SourceNotFound");
    assert_eq!(
        message,
        "key ratings.csv of ConfigMap shop/nope does not exist; found: visits.csv. Check spec.data.source"
    );
}

#[test]
fn a_server_that_does_not_respond_is_not_a_missing_source() {
    let mut setup = Setup::new("ratings.csv", "");
    // Port 9 (discard) refuses connections.
    setup.config.source.url = "http://127.0.0.1:9/ratings.csv".to_owned();
    let finished = setup.run();
    assert_eq!((finished.exit, finished.result), (ExitCode::Retry, None));
    assert_eq!(finished.termination_message.reason, "SourceUnreachable");
}

#[test]
fn missing_sources_fail() {
    let mut setup = Setup::new("ratings.csv", "");
    std::fs::remove_file(setup.source()).unwrap();
    check_message(&setup.failed(ExitCode::NoInput, "SourceNotFound"), &["does not exist", "spec.data.source"]);
    setup = Setup::new("_ratings.csv", "a");
    setup.config.source.url = format!("file://{}", setup.directory.path().display());
    check_message(&setup.failed(ExitCode::NoInput, "SourceNotFound"), &["no data below", "starts with _"]);
    setup = Setup::new("ratings.csv", "");
    setup.config.source.url = "file:///dev/null".to_owned();
    check_message(&setup.failed(ExitCode::NoInput, "SourceNotFound"), &["neither a file nor a directory"]);
}

#[test]
fn messages_name_the_source_in_the_users_terms() {
    let mut setup = Setup::new("ratings.csv", "");
    setup.config.source.described_as = "configMap shop/ratings key ratings.csv".to_owned();
    check_message(
        &setup.failed(ExitCode::BadData, "DataInvalid"),
        &["configMap shop/ratings key ratings.csv is empty"],
    );
}

#[test]
fn svd_rejects_a_degree_exponent_for_ratings() {
    let invalid = |change: fn(&mut Setup), parts: &[&str]| {
        let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
        setup.config.algorithm = Algorithm::Svd(SvdConfig::default());
        change(&mut setup);
        check_message(&setup.failed(ExitCode::Usage, "ConfigInvalid"), parts);
    };
    invalid(
        |setup| setup.config.signal = Signal::Explicit,
        &["spec.algorithm.svd.degreeExponent is 0.5", "expected 0"],
    );
    invalid(
        |setup| setup.config.algorithm = Algorithm::Svd(SvdConfig { factors: 0, ..SvdConfig::default() }),
        &["spec.algorithm.svd.factors is 0"],
    );
}

#[test]
fn bpr_rejects_ratings_and_steps_that_are_too_large() {
    let invalid = |change: fn(&mut Setup, &mut BprConfig), parts: &[&str]| {
        let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
        let mut bpr = BprConfig::default();
        change(&mut setup, &mut bpr);
        setup.config.algorithm = Algorithm::Bpr(bpr);
        check_message(&setup.failed(ExitCode::Usage, "ConfigInvalid"), parts);
    };
    invalid(
        |setup, _| setup.config.signal = Signal::Explicit,
        &["spec.algorithm.bpr", "spec.data.signal: explicit", "als or svd"],
    );
    invalid(
        |_, bpr| *bpr = BprConfig { learning_rate: 2.0, regularization: 0.75, ..*bpr },
        &["spec.algorithm.bpr.learningRate times regularization is 1.5", "at most 1"],
    );
    invalid(|_, bpr| bpr.learning_rate = f64::NAN, &["spec.algorithm.bpr.learningRate is NaN"]);
}

#[test]
fn unsupported_features_fail_as_not_supported() {
    let not_supported = |change: fn(&mut Setup)| {
        let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
        change(&mut setup);
        check_message(&setup.failed(ExitCode::Usage, "NotSupported"), &["spec."]);
    };
    not_supported(|setup| setup.config.source.url = "ftp://host/ratings.csv".to_owned());
    not_supported(|setup| {
        let (name, parameters) = ("slim".to_owned(), serde_json::Value::Null);
        setup.config.algorithm = Algorithm::Unknown { name, parameters };
    });
}

#[test]
fn out_of_bounds_parameters_fail() {
    let invalid = |change: fn(&mut Setup), words: &[&str]| {
        let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
        change(&mut setup);
        check_message(&setup.failed(ExitCode::Usage, "ConfigInvalid"), words);
    };
    invalid(|s| s.config.algorithm = Algorithm::Als(AlsConfig { factors: 0, ..AlsConfig::WIRE_DEFAULT }), &["factors"]);
    invalid(
        |s| s.config.algorithm = Algorithm::Als(AlsConfig { samples: 5, ..AlsConfig::WIRE_DEFAULT }),
        &["als.sampling requests 5 samples", "signal: explicit"],
    );
    invalid(
        |s| {
            s.config.algorithm =
                Algorithm::Als(AlsConfig { regularization: Some(f64::NAN), ..AlsConfig::WIRE_DEFAULT });
        },
        &["regularization"],
    );
    invalid(|s| s.config.evaluation.holdout = 0.9, &["holdout", "0.5"]);
    invalid(|s| s.config.evaluation.holdout = f64::NAN, &["holdout"]);
    invalid(|s| s.config.evaluation.k = 0, &["evaluation.k"]);
    invalid(|s| s.config.csv.delimiter = Some('→'), &["delimiter"]);
    invalid(|s| s.config.source.url = "s3://bucket-only".to_owned(), &["s3://<bucket>/<key>"]);
}

#[test]
fn exceeded_limits_are_quoted_in_messages() {
    for (limits, words) in [
        (Limits { users_max: 299, ..Limits::default() }, "more than 299 users"),
        (Limits { items_max: 59, ..Limits::default() }, "more than 59 items"),
        (Limits { interactions_max: 1000, ..Limits::default() }, "more than 1000 rows"),
    ] {
        let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
        setup.options.limits = limits;
        check_message(&setup.failed(ExitCode::OutOfCapacity, "CapacityInsufficient"), &[words]);
    }
    let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
    setup.options.limits = Limits { users_max: 300, items_max: 60, interactions_max: 5000 };
    setup.trained();
}

#[test]
fn invalid_items_table_fails_the_run() {
    let mut setup = Setup::new("ratings.csv", csv(&grouped_visits()));
    let items = setup.directory.path().join("items.csv");
    std::fs::write(&items, "id,name\nitem00,First\n").unwrap();
    setup.config.items = Some(Items {
        source: Source { url: format!("file://{}", items.display()), described_as: "the items".to_owned() },
        format: None,
        csv: sidecar_contract::Csv::default(),
        id: Column::Name("sku".to_owned()),
        title: None,
        available: None,
        attributes: vec![Column::Name("name".to_owned())],
    });
    let message = setup.failed(ExitCode::BadData, "DataInvalid");
    check_message(&message, &["the items has no column \"sku\"", "\"name\"", "spec.data.items.columns.id"]);
}
