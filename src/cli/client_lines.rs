//! What `serve` prints at its start: where it listens, and lines to paste into clients.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use crate::{
    access::first_admin,
    config::{Config, Project, ProjectKind, Secret, Visibility},
};

const DOCKER_HUB: &str = "docker.io";

/// The text, ready to print.
pub(super) fn client_lines(
    config: &Config,
    address: SocketAddr,
    mirror_address: Option<SocketAddr>,
) -> String {
    let scheme = if config.server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut text = listening(scheme, address, mirror_address);
    let mirrors = public_mirrors(&config.projects);
    let hub = mirrors.iter().find(|project| project.name == DOCKER_HUB);
    let Some(example) = hub.or(mirrors.first()) else {
        return text;
    };
    let main = match &config.server.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("{scheme}://{}", reachable(address)),
    };
    let (host, name) = (host_of(&main), &example.name);
    let line = format_args!(
        "  pull        docker pull {host}/{name}/{}\n",
        image_of(name)
    );
    put(&mut text, line);
    let mirror = mirror_address.map(|address| format!("{scheme}://{}", reachable(address)));
    let is_default_hub = hub.is_some_and(|hub| hub.default);
    settings(&mut text, &mirror.unwrap_or(main), name, is_default_hub);
    text
}

fn listening(scheme: &str, address: SocketAddr, mirror_address: Option<SocketAddr>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("Entrepot {version} listens on {scheme}://{address}");
    if let Some(address) = mirror_address {
        let line = format_args!(", for pulls only on {scheme}://{address}");
        put(&mut text, line);
    }
    text.push('\n');
    text
}

/// What clients are told so that they ask this mirror, `example` being one of its projects. Docker asks a mirror for Docker
/// Hub's images alone, by names without a project.
fn settings(text: &mut String, mirror: &str, example: &str, is_default_hub: bool) {
    if is_default_hub {
        let line = format_args!(
            "  Docker      /etc/docker/daemon.json: {{\"registry-mirrors\": [\"{mirror}\"]}}\n",
        );
        put(text, line);
    }
    let line = format_args!(
        "  containerd  /etc/containerd/certs.d/_default/hosts.toml: [host.\"{mirror}\"]\n              capabilities = [\"pull\", \"resolve\"]\n",
    );
    put(text, line);
    let (host, insecure) = (host_of(mirror), mirror.starts_with("http:"));
    let insecure = if insecure {
        "\n              insecure = true"
    } else {
        ""
    };
    let line = format_args!(
        "  Podman      /etc/containers/registries.conf: [[registry]] with location = \"{example}\", then\n              [[registry.mirror]] with location = \"{host}/{example}\"{insecure}\n",
    );
    put(text, line);
}

/// The login that this start has made. It is told here and nowhere else.
pub(super) fn admin_line(password: &Secret, folder: &Path) -> String {
    format!(
        "  admin       user `admin`, password `{}`: made now, not shown again, kept in {}\n",
        password.expose(),
        first_admin::path(folder).display()
    )
}

/// An address that a client on this machine can dial.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn public_mirrors(projects: &[Project]) -> Vec<&Project> {
    projects
        .iter()
        .filter(|project| {
            matches!(project.kind, ProjectKind::Mirror { .. })
                && project.visibility == Visibility::Public
        })
        .collect()
}

fn image_of(project: &str) -> &'static str {
    match project {
        DOCKER_HUB => "library/nginx",
        _ => "<repository>",
    }
}

fn host_of(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a String does not fail");
}
