//! What a repository is called at a destination. Pure.
//!
//! ```text
//! source `a/b/c/d/img`, project `ns`:   flatten -1  ns/img         all but the last component are dropped
//!                                                0  ns/a/b/c/d/img
//!                                                1  ns/b/c/d/img   the source's project is replaced
//!                                                3  ns/d/img
//!                                               >4  an error, which stops the execution before any task
//! ```

use crate::{
    config::Provider,
    oci::{Name, name::NameError},
};

/// Where things go at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Put in front; `None`: the source's whole name is kept.
    pub project: Option<Name>,
    pub flatten: Flatten,
}

/// How many leading components of the source's whole name are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flatten {
    /// All but the last.
    All,
    Leading(u32),
}

/// Why a repository has no name at a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    #[error(
        "`{source_name}` has {components} components, so {flatten} leading ones cannot be dropped"
    )]
    TooShort {
        source_name: Name,
        components: usize,
        flatten: u32,
    },
    #[error("`{source_name}` would get a name that is none: {source}")]
    NoName {
        source_name: Name,
        #[source]
        source: NameError,
    },
    #[error("`{0}` would be its name there, but repositories on Docker Hub have two components")]
    NotTwo(Name),
    #[error(
        "`{0}` would be its name there, but repositories on Harbor have two components or more"
    )]
    NotInProject(Name),
}

impl Naming {
    /// The name at the destination of the repository that is called so, whole name, at the source.
    pub fn name(&self, source: &Name) -> Result<Name, NamingError> {
        let Some(project) = &self.project else {
            return Ok(source.clone());
        };
        let components: Vec<_> = source.components().collect();
        let dropped = match self.flatten {
            Flatten::All => components.len() - 1,
            Flatten::Leading(count) => match usize::try_from(count) {
                Ok(count) if count < components.len() => count,
                _ => {
                    return Err(NamingError::TooShort {
                        source_name: source.clone(),
                        components: components.len(),
                        flatten: count,
                    });
                }
            },
        };
        let name = format!("{project}/{}", components[dropped..].join("/"));
        name.parse().map_err(|error| NamingError::NoName {
            source_name: source.clone(),
            source: error,
        })
    }
}

/// Can a repository be called so at this provider?
pub fn check_depth(provider: Provider, name: &Name) -> Result<(), NamingError> {
    let components = name.components().count();
    match provider {
        Provider::DockerHub if components != 2 => Err(NamingError::NotTwo(name.clone())),
        Provider::Harbor if components < 2 => Err(NamingError::NotInProject(name.clone())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn naming(project: &str, flatten: Flatten) -> Naming {
        Naming {
            project: (!project.is_empty()).then(|| name(project)),
            flatten,
        }
    }

    #[test]
    fn components_are_dropped_as_the_table_says() {
        let leading = Flatten::Leading;
        for (source, flatten, expected) in [
            ("a/b/c/d/img", Flatten::All, Some("ns/img")),
            ("a/b/c/d/img", leading(0), Some("ns/a/b/c/d/img")),
            ("a/b/c/d/img", leading(1), Some("ns/b/c/d/img")),
            ("a/b/c/d/img", leading(2), Some("ns/c/d/img")),
            ("a/b/c/d/img", leading(3), Some("ns/d/img")),
            ("a/b/c/d/img", leading(4), Some("ns/img")),
            ("a/b/c/d/img", leading(5), None),
            ("c", leading(0), Some("ns/c")),
            ("c", Flatten::All, Some("ns/c")),
            ("c", leading(1), None),
        ] {
            let named = naming("ns", flatten).name(&name(source));
            let named = named.ok().map(|name| name.to_string());
            assert_eq!(named.as_deref(), expected, "{source} {flatten:?}");
        }
    }

    #[test]
    fn without_a_project_the_name_stays_whatever_is_to_be_dropped() {
        for flatten in [Flatten::All, Flatten::Leading(9)] {
            let named = naming("", flatten).name(&name("docker.io/library/nginx"));
            assert_eq!(named.unwrap().as_str(), "docker.io/library/nginx");
        }
    }

    #[test]
    fn a_project_may_have_several_components() {
        let named = naming("team/images", Flatten::Leading(2)).name(&name("a/b/c"));
        assert_eq!(named.unwrap().as_str(), "team/images/c");
    }

    #[test]
    fn a_name_that_grows_too_long_is_told_with_its_source() {
        let long = "a".repeat(254);
        let error = naming("ns", Flatten::Leading(0)).name(&name(&long));
        assert!(error.unwrap_err().to_string().contains(&long));
    }

    #[test]
    fn providers_ask_for_their_number_of_components() {
        for (provider, text, fits) in [
            (Provider::DockerHub, "library/nginx", true),
            (Provider::DockerHub, "nginx", false),
            (Provider::DockerHub, "a/b/c", false),
            (Provider::Harbor, "nginx", false),
            (Provider::Harbor, "a/b/c", true),
            (Provider::DockerRegistry, "nginx", true),
        ] {
            assert_eq!(
                check_depth(provider, &name(text)).is_ok(),
                fits,
                "{provider:?} {text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_left_is_the_end_of_the_source(
            source in "[a-c](/[a-c]){0,5}",
            flatten in 0u32..8,
        ) {
            let source = name(&source);
            let components = source.components().count();
            match naming("ns", Flatten::Leading(flatten)).name(&source) {
                Ok(named) => {
                    let rest = named.rest().unwrap();
                    prop_assert_eq!(named.first(), "ns");
                    prop_assert!(source.as_str().ends_with(rest.as_str()));
                    prop_assert_eq!(rest.components().count() + flatten as usize, components);
                }
                Err(_) => prop_assert!(flatten as usize >= components),
            }
        }
    }
}
