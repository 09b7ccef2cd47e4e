//! Quay: a push makes the repository, within an organisation that is there.

use super::profile::{Abilities, Profile};

pub(super) const PROFILE: Profile = Profile {
    title: "Quay",
    url_hint: "https://quay.io",
    credential_hint: "a robot account: organisation+name and its token",
    fields: &[],
    can: Abilities {
        create: false,
        delete_tag: true,
        chunk: true,
        mount: true,
        referrers: true,
    },
};
