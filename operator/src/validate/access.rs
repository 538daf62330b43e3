//! Access to the serving pods in the terms of the contract.

use recommender_crds::{AccessSpec, AllowedCaller, Plaintext};
use sidecar_contract::{Access, AllowedCaller as Caller, PlaintextAccess};

/// Converts the access of a spec; absent, it is the default.
pub fn plan(spec: Option<&AccessSpec>) -> Access {
    let Some(AccessSpec { allow, plaintext, identity: _ }) = spec else { return Access::default() };
    let caller = |AllowedCaller { namespace, service_account }: &AllowedCaller| Caller {
        namespace: namespace.clone(),
        service_account: service_account.clone(),
    };
    Access {
        allow: allow.as_ref().map(|allow| allow.iter().map(caller).collect()),
        plaintext: match plaintext {
            Plaintext::SameNamespace => PlaintextAccess::SameNamespace,
            Plaintext::Never => PlaintextAccess::Never,
        }
        .into(),
    }
}
