//! crds/examples/flask-shop, unmodified: the page of an app whose list comes from its sidecar.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use e2e::{Cluster, Namespace, wait};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crds/examples/flask-shop");
const CUSTOMER: &str = "c-1003";

/// The text between two others, each time that it occurs.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split_once(after)).map(|(found, _)| found).collect()
}

/// The page of the shop for a customer; it always exists.
async fn page(namespace: &Namespace) -> Result<String> {
    let request = namespace.cluster.http.get(namespace.service_url("flask-shop")?);
    let response = request.header("cookie", format!("customer={CUSTOMER}")).send().await?;
    ensure!(response.status().is_success(), "{}", response.status());
    Ok(response.text().await?)
}

/// The recommended films of a page, and their sources.
fn recommended(page: &str) -> (Vec<&str>, BTreeSet<&str>) {
    (between(page, "data-film=\"", "\""), between(page, "data-source=\"", "\"").into_iter().collect())
}

#[tokio::test]
async fn the_film_shop_recommends_and_outlives_its_recommender() -> Result<()> {
    let cluster = Cluster::ready().await?;
    let namespace = Namespace::new(&cluster, "flask-shop")?;
    namespace.kubectl(&["apply", "--server-side", "-k", EXAMPLE])?;
    // The last answer is kept by one sidecar: that of the only pod.
    namespace.kubectl(&["scale", "deployment/flask-shop", "--replicas=1"])?;
    namespace.wait_ready("films").await?;
    namespace.kubectl(&["rollout", "status", "deployment/flask-shop", &wait::timeout_argument()])?;

    let before = wait::until_async("the page shows films of the model", async || {
        let page = page(&namespace).await?;
        ensure!(recommended(&page).1 == BTreeSet::from(["model"]), "{page}");
        Ok(page)
    })
    .await?;
    let (films, _) = recommended(&before);
    ensure!(films.len() == 5 && before.contains("Based on what you bought."), "{before}");
    let purchases = std::fs::read_to_string(format!("{EXAMPLE}/purchases.csv"))?;
    let bought: Vec<&str> = purchases.lines().filter_map(|row| row.strip_prefix(CUSTOMER)?.strip_prefix(',')).collect();
    ensure!(bought.len() > 3 && !films.iter().any(|film| bought.contains(film)), "{films:?} {bought:?}");
    ensure!(before.contains("sold out") && !films.contains(&"zodiac"), "{films:?}");

    namespace.kubectl(&["delete", "recommender/films"])?;
    wait::until("no serving pod exists", || {
        let pods = namespace.list("pods", "recmesh.dev/recommender=films,app.kubernetes.io/component=serving")?;
        ensure!(pods.is_empty(), "{} pods exist", pods.len());
        Ok(())
    })
    .await?;
    let after = page(&namespace).await?;
    let (kept, sources) = recommended(&after);
    ensure!(kept == films && sources == BTreeSet::from(["last-answer"]), "{after}");
    ensure!(after.contains("New recommendations are not available at the moment."), "{after}");
    ensure!(between(&after, "href=\"/film/", "\"").contains(&"metropolis"), "{after}");

    let pods = namespace.list("pods", "app=flask-shop")?;
    let pod = pods.first().context("the shop has no pod")?;
    let restarts = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    ensure!(restarts.clone().count() == 1 && restarts.clone().all(|status| status["restartCount"] == 0), "{pod}");
    Ok(())
}
