//! Prints the CRD.

fn main() {
    print!("{}", recommender_crds::crd_yaml());
}
