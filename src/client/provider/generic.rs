//! Any registry that follows the specification: its first push makes what it needs.

use super::profile::{Abilities, Profile};

pub(super) const PROFILE: Profile = Profile {
    title: "Any registry",
    url_hint: "https://registry.example.com",
    credential_hint: "user name and password, or a token",
    fields: &[],
    can: Abilities {
        create: false,
        delete_tag: false,
        chunk: true,
        mount: true,
        referrers: false,
    },
};
