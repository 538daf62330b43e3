//! Writes `crds/recommenders.yaml` to standard output.

fn main() {
    print!("{}", recommender_crds::crd_yaml());
}
