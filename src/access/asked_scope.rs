//! What clients ask a registry token for (distribution, "Docker Registry v2 Bearer token scope").

use super::{Right, Rights};
use crate::oci::Name;

/// One `scope`, or one of several with spaces between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedScope {
    /// `repository:NAME:ACTIONS`, the name as the client has it.
    Repository { name: Name, rights: Rights },
    /// `registry:catalog:*`
    Catalog,
}

impl AskedScope {
    /// Reads a list with spaces between its scopes. What is of no known kind is left out: it asks for nothing we have.
    pub fn read_all(text: &str) -> impl Iterator<Item = Self> {
        text.split(' ').filter_map(Self::read)
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        // `repository(class)` is an old form.
        match kind.split('(').next()? {
            "repository" => Some(Self::Repository {
                name: name.parse().ok()?,
                rights: actions.split(',').flat_map(rights_of).copied().collect(),
            }),
            "registry" if name == "catalog" => Some(Self::Catalog),
            _ => None,
        }
    }

    /// Is this about pulling and nothing else?
    pub fn is_pull(&self) -> bool {
        let Self::Repository { rights, .. } = self else {
            return false;
        };
        rights.iter().eq([Right::Pull])
    }
}

/// Registry clients know no seeding: they push.
fn rights_of(action: &str) -> &'static [Right] {
    match action {
        "pull" => &[Right::Pull],
        "push" => &[Right::Push, Right::Seed],
        "delete" => &[Right::Delete],
        "*" => &[Right::Pull, Right::Push, Right::Seed, Right::Delete],
        _ => &[],
    }
}

/// The scope to ask for, as a challenge tells it.
pub fn scope_text(name: &Name, right: Right) -> String {
    let actions = match right {
        Right::Pull => "pull",
        Right::Push | Right::Seed => "pull,push",
        Right::Delete => "delete",
        Right::Admin => "*",
    };
    format!("repository:{name}:{actions}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<AskedScope> {
        AskedScope::read_all(text).collect()
    }

    fn repository(name: &str, rights: &[Right]) -> AskedScope {
        AskedScope::Repository {
            name: name.parse().unwrap(),
            rights: rights.iter().copied().collect(),
        }
    }

    #[test]
    fn scopes_are_read_in_all_their_forms() {
        let pull = repository("library/nginx", &[Right::Pull]);
        assert_eq!(
            read("repository:library/nginx:pull"),
            std::slice::from_ref(&pull)
        );
        assert_eq!(
            read("repository(plugin):library/nginx:pull"),
            std::slice::from_ref(&pull)
        );
        let push = repository("a", &[Right::Pull, Right::Push, Right::Seed]);
        assert_eq!(
            read("repository:library/nginx:pull repository:a:pull,push registry:catalog:*"),
            [pull, push, AskedScope::Catalog]
        );
        assert!(read("repository:a:pull")[0].is_pull());
        assert!(!read("repository:a:pull,push")[0].is_pull());
        assert!(!read("repository:a:none")[0].is_pull());
    }

    #[test]
    fn what_is_no_scope_asks_for_nothing() {
        for text in [
            "",
            "repository",
            "repository:a",
            "repository:UPPER:pull",
            "aws:a:pull",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn what_a_challenge_tells_is_understood_when_it_comes_back() {
        let name = "team/app".parse().unwrap();
        for right in [Right::Pull, Right::Push, Right::Seed, Right::Delete] {
            let asked = read(&scope_text(&name, right));
            let [
                AskedScope::Repository {
                    name: asked,
                    rights,
                },
            ] = &asked[..]
            else {
                panic!("{asked:?}");
            };
            assert!(*asked == name && rights.allow(right), "{right}");
        }
    }
}
