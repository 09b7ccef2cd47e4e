//! Registries that nobody configured: reached by their names, with what somebody says of logins and TLS.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;
use url::Url;

use super::{Place, shared::SharedSource};
use crate::{
    client::{RegistryClient, SetupError},
    config::{Credentials, Provider, Remote},
    telemetry::Metrics,
    transfer::send::{Destination, RemoteSource, Source},
};

/// How a registry is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reach {
    pub credentials: Credentials,
    /// Certificates that nobody signed are accepted, and plain HTTP where there is no HTTPS.
    pub insecure: bool,
}

/// A registry with one login, as both ends of transfers. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub client: RegistryClient,
    pub source: Arc<dyn Source>,
    pub destination: Destination,
}

/// One that is found out about, or is known.
type Known = Arc<OnceCell<Registry>>;

/// All registries that were asked for: one client for each with each login.
#[derive(Default)]
pub struct Registries {
    known: Mutex<HashMap<(String, String), Known>>,
    metrics: Metrics,
    /// How many of them each blob may go to.
    destinations: usize,
}

impl Registries {
    /// When there is more than one to send to, each blob is read once for all.
    pub fn with_destinations(destinations: usize) -> Self {
        Self {
            destinations,
            ..Self::default()
        }
    }

    /// The registry of a place. `login` names the login among all of that registry: what has the same name is the same.
    /// Who asks first finds out whether HTTPS is spoken there, where plain HTTP may be.
    pub async fn get(
        &self,
        place: &Place,
        login: &str,
        reach: impl FnOnce() -> Reach,
    ) -> Result<Registry, SetupError> {
        let key = (place.registry.clone(), login.to_owned());
        let known = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(key).or_default())
        };
        let registry = known.get_or_try_init(|| async {
            let registry = self.open(&place.registry, reach())?;
            registry.client.look_around().await;
            Ok(registry)
        });
        registry.await.cloned()
    }

    fn open(&self, registry: &str, reach: Reach) -> Result<Registry, SetupError> {
        let client = RegistryClient::new(remote(registry, reach)?, self.metrics.clone())?;
        let source = RemoteSource::of(client.clone());
        Ok(Registry {
            source: match self.destinations {
                0 | 1 => source,
                readers => SharedSource::of(source, readers),
            },
            destination: Destination::new(&client),
            client,
        })
    }
}

/// Does Docker, too, speak plain HTTP with a registry of this name?
pub fn is_on_this_machine(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn remote(registry: &str, reach: Reach) -> Result<Remote, SetupError> {
    let (host, provider) = match registry {
        "docker.io" => ("registry-1.docker.io", Provider::DockerHub),
        other => (other, Provider::DockerRegistry),
    };
    let url = |scheme: &str| {
        Url::parse(&format!("{scheme}://{host}/")).map_err(|error| SetupError {
            remote: registry.to_owned(),
            message: error.to_string(),
        })
    };
    let mut urls = vec![url("https")?];
    if reach.insecure {
        urls.push(url("http")?);
    }
    let mut remote = Remote::new(registry.to_owned(), provider, urls);
    remote.verify_tls = !reach.insecure;
    remote.credentials = reach.credentials;
    Ok(remote)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A registry that knows plain HTTP only; counts those who greet it with TLS.
    async fn plain_registry() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let name = listener.local_addr().unwrap().to_string();
        let greeted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&greeted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Relaxed);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        });
        (name, greeted)
    }

    #[tokio::test]
    async fn whether_https_is_spoken_is_found_out_once_for_all_who_ask_at_once() {
        let (name, greeted) = plain_registry().await;
        let place: Place = format!("{name}/app").parse().unwrap();
        let registries = Registries::default();
        let reach = || Reach {
            credentials: Credentials::None,
            insecure: true,
        };
        let ask = || registries.get(&place, "", reach);
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        for registry in [one, two, three] {
            let health = registry.unwrap().client.health();
            let passed_over: Vec<_> = health.iter().map(|url| url.trouble.is_some()).collect();
            assert_eq!(passed_over, [true, false]);
        }
        assert_eq!(greeted.load(Relaxed), 1);
    }

    #[test]
    fn plain_http_comes_after_https_and_only_if_that_is_allowed() {
        let urls = |registry: &str, insecure| {
            let reach = Reach {
                credentials: Credentials::None,
                insecure,
            };
            let urls = remote(registry, reach).unwrap().urls;
            urls.iter().map(Url::to_string).collect::<Vec<_>>()
        };
        assert_eq!(urls("r.io:5000", false), ["https://r.io:5000/"]);
        assert_eq!(
            urls("r.io:5000", true),
            ["https://r.io:5000/", "http://r.io:5000/"]
        );
        assert_eq!(urls("docker.io", false), ["https://registry-1.docker.io/"]);
    }

    #[test]
    fn this_machine_is_known_by_its_addresses() {
        for registry in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
        ] {
            assert!(is_on_this_machine(registry), "{registry}");
        }
        for registry in ["10.0.0.1:5000", "localhost.example.com", "r.io"] {
            assert!(!is_on_this_machine(registry), "{registry}");
        }
    }
}
