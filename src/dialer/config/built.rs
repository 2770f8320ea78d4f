//! What a trunk's section comes to: the trunk as `sip` takes it, at each of its destinations, or everything that is wrong.

use std::collections::BTreeSet;

use super::*;
use crate::secret;
use crate::sip::{Host, Peer, Secret, TlsFiles};

impl TrunkConfig {
    /// The trunk as `sip` takes it; or everything that is wrong with the section, naming the key.
    pub fn trunk(&self, name: &str) -> Result<TrunkRoutes, Vec<String>> {
        let mut problems = Vec::new();
        // Before anything of them is used: a file that changes in between is taken for changed at the next look, too.
        let files = self.files_digest();
        let password = self.password().unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if self.username.is_some() != self.password_file.is_some() {
            problems.push("username and password_file: set both or neither".to_owned());
        }
        problems.extend(self.rate().problems());
        problems.extend(self.target_problems());
        let voucher = self.voucher().unwrap_or_else(|more| {
            problems.extend(more);
            None
        });
        problems.extend(self.health.problems());
        let credentials = self.credentials().unwrap_or_else(|more| {
            problems.extend(more);
            None
        });
        let mut trunk = Trunk::new(name, UNRESOLVED, "");
        trunk.large_over_tcp = self.large_over_tcp;
        trunk.username.clone_from(&self.username);
        trunk.password = password;
        trunk.allow_md5 = self.allow_md5;
        trunk.ring_timeout = Duration::from_secs(self.ring_timeout_seconds);
        trunk.first_response_timeout = Duration::from_millis(self.first_response_timeout_ms);
        let proposed = Duration::from_secs(self.session_expires_seconds);
        trunk.session_expires = (!proposed.is_zero()).then_some(proposed);
        trunk.session_min = Duration::from_secs(self.session_min_seconds);
        trunk.display_name.clone_from(&self.display_name);
        trunk.trusted = self.trusted;
        trunk.asserted_number = self.asserted_number;
        if let Some(texts) = &self.blocking_texts {
            trunk.blocking_texts = texts.iter().map(|text| text.to_lowercase()).collect();
        }
        for (cause, code) in &self.cause_codes {
            match cause.parse() {
                Ok(cause) => drop(trunk.cause_codes.insert(cause, *code)),
                Err(_) => problems.push(format!("cause_codes: `{cause}` is not a Q.850 cause")),
            }
        }
        let mut routes = Vec::new();
        for (key, destination) in self.named_targets() {
            match self.route(&trunk, destination, credentials.as_ref()) {
                Ok(route) => routes.push(route),
                Err(problem) => problems.push(format!("{key}: {problem}")),
            }
        }
        let registrar = self.registrar(&trunk, credentials.as_ref());
        let registrar = registrar.unwrap_or_else(|more| {
            problems.extend(more);
            None
        });
        if let Some(route) = routes.first() {
            trunk = Trunk::clone(&route.trunk);
        }
        problems.extend(trunk.problems());
        if problems.is_empty() {
            Ok(TrunkRoutes {
                trunk: Arc::new(trunk),
                voucher,
                routes,
                registrar,
                files,
            })
        } else {
            Err(problems)
        }
    }

    /// Who vouches for the caller.
    fn voucher(&self) -> Result<Option<Arc<Voucher>>, Vec<String>> {
        let Some(identity) = &self.identity else {
            return Ok(None);
        };
        let mut problems = Vec::new();
        if self.asserted_number.is_some() {
            problems.push(
                "asserted_number: a signature is about the number shown, and whoever verifies would compare it with this one; leave one of them out"
                    .to_owned(),
            );
        }
        match identity.voucher() {
            Ok(voucher) if problems.is_empty() => Ok(Some(Arc::new(voucher))),
            voucher => {
                let more = voucher.err().into_iter().flatten();
                problems.extend(more.map(|problem| format!("identity.{problem}")));
                Err(problems)
            }
        }
    }

    /// The trunk at its registrar, if it has to be registered.
    fn registrar(
        &self,
        trunk: &Trunk,
        credentials: Option<&Credentials>,
    ) -> Result<Option<Arc<Registrar>>, Vec<String>> {
        let Some(config) = &self.registration else {
            return Ok(None);
        };
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let destination = config.registrar.as_ref().unwrap_or(&self.target);
        let numeric = destination.numeric();
        if numeric.is_some_and(|target| !Trunk::may_be_sent_to(target.addr)) {
            return Err(vec![format!(
                "registration.registrar: nothing can be sent to `{destination}`"
            )]);
        }
        let wants_tls = numeric.is_some_and(|target| target.transport == Transport::Tls);
        if wants_tls && credentials.is_none() {
            return Err(vec![
                "registration.registrar: TLS needs a target of the trunk that uses it too"
                    .to_owned(),
            ]);
        }
        let route = self.route(trunk, destination, credentials);
        let route = route.map_err(|problem| vec![format!("registration.registrar: {problem}")])?;
        let config = config.clone();
        Ok(Some(Arc::new(Registrar { config, route })))
    }

    /// The trunk at one of its destinations.
    fn route(
        &self,
        trunk: &Trunk,
        destination: &Destination,
        credentials: Option<&Credentials>,
    ) -> Result<Route, String> {
        let keep_alive = Duration::from_secs(self.keep_alive_seconds);
        let keep_alive = (self.keep_alive_seconds > 0).then_some(keep_alive);
        let peer = Peer::new(&destination.host, credentials.cloned(), keep_alive)?;
        let domain = self.domain.clone();
        Ok(Route {
            trunk: Arc::new(Trunk {
                target: destination.numeric().unwrap_or(UNRESOLVED),
                peer: Arc::new(peer),
                domain: domain.unwrap_or_else(|| destination.host.to_string()),
                ..trunk.clone()
            }),
            destination: destination.clone(),
        })
    }

    /// What TLS needs, where it may be used: a name's records may ask for it.
    fn credentials(&self) -> Result<Option<Credentials>, Vec<String>> {
        let files = [&self.ca_file, &self.cert_file, &self.key_file];
        let asked = files.iter().any(|file| file.is_some());
        let any = |wanted: fn(&Destination) -> bool| {
            let mut targets = self.named_targets();
            targets.any(|(_, target)| wanted(target))
        };
        let needed = any(|target| target.transport == Some(Transport::Tls));
        let possible = any(|target| target.transport.is_none() && target.numeric().is_none());
        match (asked, needed || possible) {
            (_, true) => {}
            (false, false) => return Ok(None),
            (true, false) => return Err(vec![
                "ca_file, cert_file, key_file: no target of the trunk uses TLS, write `tls:` before it".to_owned(),
            ]),
        }
        let key = match &self.key_file {
            Some(path) => {
                let key = secret::read("key_file", path).map_err(|problem| vec![problem])?;
                Some(key)
            }
            None => None,
        };
        let files = TlsFiles {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key,
        };
        match Credentials::read(&files) {
            Ok(credentials) => Ok(Some(credentials)),
            Err(_) if !asked && !needed => Ok(None),
            Err(problems) => Err(problems),
        }
    }

    /// What is wrong with the section on a node that listens for SIP there, naming the key.
    #[must_use]
    pub fn problems_at(&self, listen: SocketAddr) -> Vec<String> {
        let is_ours = |to: &Destination| {
            to.numeric()
                .is_some_and(|target| target.addr == listen && target.transport != Transport::Tls)
        };
        let ours = self.named_targets().filter(|(_, to)| is_ours(to));
        let ours = ours.map(|(key, to)| format!("{key}: `{to}` is our own, see `[sip] listen`"));
        let cut_off = self.named_targets().filter_map(|(key, to)| {
            let why = unreachable_from(listen, to.numeric()?)?;
            Some(format!(
                "{key}: no datagram comes to `{to}` from `[sip] listen`, {why}"
            ))
        });
        ours.chain(cut_off).collect()
    }

    /// Whether its calls go there, or to what may be the same place: a name says no port where its records do.
    #[must_use]
    pub fn leads_to(&self, way: &Destination) -> bool {
        let registrar = self.registration.as_ref();
        let registrar = registrar.and_then(|registration| registration.registrar.as_ref());
        let mut targets = self
            .named_targets()
            .map(|(_, target)| target)
            .chain(registrar);
        let is_domain = self.domain.as_ref().is_some_and(|domain| {
            let domain: Result<Destination, _> = domain.parse();
            domain.is_ok_and(|domain| may_be_one(&domain, way))
        });
        is_domain || targets.any(|target| may_be_one(target, way))
    }

    fn named_targets(&self) -> impl Iterator<Item = (&'static str, &Destination)> {
        let further = self.fallback_targets.iter();
        std::iter::once(("target", &self.target))
            .chain(further.map(|target| ("fallback_targets", target)))
    }

    fn target_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        let mut family = None;
        if self.keep_alive_seconds > KEEP_ALIVE_SECONDS_MAX {
            problems.push(format!(
                "keep_alive_seconds: set at most {KEEP_ALIVE_SECONDS_MAX}, or 0 for never"
            ));
        }
        for (key, target) in self.named_targets() {
            let numeric = target.numeric();
            let unreachable = numeric.is_some_and(|target| !Trunk::may_be_sent_to(target.addr));
            let datagrams = numeric.filter(|target| target.transport == Transport::Udp);
            if unreachable || target.port == Some(0) {
                problems.push(format!(
                    "{key}: nothing can be sent to `{target}`, write one host, and a port that is not 0"
                ));
            } else if !seen.insert(numeric.map_or_else(|| target.clone(), Destination::from)) {
                problems.push(format!(
                    "{key}: `{target}` is named twice, each target is tried once"
                ));
            } else if let Some(to) = datagrams
                && *family.get_or_insert(to.addr.is_ipv4()) != to.addr.is_ipv4()
            {
                problems.push(format!(
                    "{key}: `{target}` is not of the family of the others, and one socket sends to all"
                ));
            }
        }
        let is_datagrams = |target: &Destination| match target.transport {
            Some(transport) => transport == Transport::Udp,
            None => true,
        };
        if self.large_over_tcp && !self.named_targets().any(|(_, target)| is_datagrams(target)) {
            problems.push(
                "large_over_tcp: no target of the trunk is sent datagrams, leave it out".to_owned(),
            );
        }
        if self.fallback_targets.len() > FALLBACK_TARGETS_MAX {
            problems.push(format!(
                "fallback_targets: name at most {FALLBACK_TARGETS_MAX}"
            ));
        }
        problems
    }

    fn password(&self) -> Result<Option<Secret>, String> {
        let Some(path) = &self.password_file else {
            return Ok(None);
        };
        let text = secret::read("password_file", path)?;
        Ok(Some(Secret::new(text.to_string())))
    }
}

/// Whether two destinations may be the same server, by what is written. What a name stands for is seen when it is looked up.
fn may_be_one(one: &Destination, other: &Destination) -> bool {
    let is_one_host = match (&one.host, &other.host) {
        (Host::Ip(one), Host::Ip(other)) => one.to_canonical() == other.to_canonical(),
        (one, other) => one == other,
    };
    let port = |way: &Destination| way.port.or(way.numeric().map(|target| target.addr.port()));
    match (port(one), port(other)) {
        (Some(one), Some(other)) => is_one_host && one == other,
        _ => is_one_host,
    }
}

/// Why the one socket that sends datagrams cannot send any there.
fn unreachable_from(listen: SocketAddr, target: Target) -> Option<&'static str> {
    let (here, there) = (listen.ip(), target.addr.ip());
    if target.transport != Transport::Udp {
        return None;
    }
    if here.is_ipv4() != there.is_ipv4() {
        return Some("which is of the other family of addresses");
    }
    let is_inside = here.is_loopback() && !there.is_loopback();
    is_inside.then_some("which is loopback; set the address that the carrier is to see")
}

#[cfg(test)]
mod target_tests {
    use super::*;

    fn trunk(target: &str, fallbacks: &[&str]) -> TrunkConfig {
        TrunkConfig {
            fallback_targets: fallbacks.iter().map(|each| each.parse().unwrap()).collect(),
            ..TrunkConfig::towards(target.parse::<Destination>().unwrap())
        }
    }

    #[test]
    fn targets_that_cannot_work_are_named() {
        for good in [
            trunk("192.0.2.1:5060", &["192.0.2.2:5060", "192.0.2.1:5070"]),
            // The same address by another way, and another family for streams.
            trunk(
                "192.0.2.1:5060",
                &["tcp:192.0.2.1:5060", "tcp:[2001:db8::1]"],
            ),
            trunk("carrier.example", &["udp:carrier.example", "192.0.2.1"]),
        ] {
            assert!(good.trunk("t").is_ok());
        }
        for (config, key) in [
            (trunk("192.0.2.1:0", &[]), "target: "),
            (trunk("0.0.0.0:5060", &[]), "target: "),
            (trunk("224.0.0.1:5060", &[]), "target: "),
            (trunk("255.255.255.255:5060", &[]), "target: "),
            (trunk("[ff02::1]:5060", &[]), "target: "),
            (
                trunk("192.0.2.1:5060", &["224.0.0.1:5060"]),
                "fallback_targets: ",
            ),
            (trunk("carrier.example:0", &[]), "target: "),
            (
                trunk("carrier.example", &["carrier.example"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1", &["udp:192.0.2.1:5060"]),
                "fallback_targets: ",
            ),
            (
                TrunkConfig {
                    keep_alive_seconds: 3_601,
                    ..trunk("192.0.2.1", &[])
                },
                "keep_alive_seconds: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.2:0"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.1:5060"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["[2001:db8::1]:5060"]),
                "fallback_targets: ",
            ),
            (
                trunk("192.0.2.1:5060", &["192.0.2.2:5060", "192.0.2.2:5060"]),
                "fallback_targets: ",
            ),
        ] {
            let problems = config.trunk("t").unwrap_err();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(key), "{problems:?}");
        }
    }

    #[test]
    fn ways_that_lead_nowhere_from_here_are_named() {
        for (listen, target, problem) in [
            ("127.0.0.1:5060", "127.0.0.1:5070", ""),
            ("127.0.0.1:5060", "tcp:192.0.2.1", ""),
            ("127.0.0.1:5060", "carrier.example", ""),
            ("0.0.0.0:5060", "192.0.2.1", ""),
            ("192.0.2.9:5060", "tls:[2001:db8::1]", ""),
            ("127.0.0.1:5060", "192.0.2.1", "which is loopback"),
            ("[::1]:5060", "[2001:db8::1]:5060", "which is loopback"),
            ("0.0.0.0:5060", "[2001:db8::1]:5060", "other family"),
            ("[::]:5060", "192.0.2.1", "other family"),
            ("127.0.0.1:5060", "tcp:127.0.0.1:5060", "is our own"),
        ] {
            let problems = trunk(target, &[]).problems_at(listen.parse().unwrap());
            assert_eq!(problems.len(), usize::from(!problem.is_empty()), "{target}");
            let told = problems.iter().all(|told| told.contains(problem));
            assert!(told, "{problems:?}");
        }
        for (target, further, fits) in [
            ("192.0.2.1", "tcp:192.0.2.1", true),
            ("carrier.example", "tcp:192.0.2.1", true),
            ("tcp:192.0.2.1", "udp:192.0.2.2", true),
            ("tcp:192.0.2.1", "tcp:192.0.2.2", false),
        ] {
            let config = TrunkConfig {
                large_over_tcp: true,
                ..trunk(target, &[further])
            };
            let problems = config.trunk("t").err().unwrap_or_default();
            assert_eq!(problems.is_empty(), fits, "{problems:?}");
            assert!(
                problems
                    .iter()
                    .all(|told| told.starts_with("large_over_tcp: "))
            );
        }
    }

    /// What a file says counts, and not how it is called.
    #[test]
    fn a_trunk_is_the_same_as_long_as_its_files_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca");
        let config = TrunkConfig {
            ca_file: Some(path.clone()),
            ..trunk("tls:carrier.example", &[])
        };
        let says = |text: &str| {
            std::fs::write(&path, text).unwrap();
            config.files_digest()
        };
        let absent = config.files_digest();
        let (one, other, empty) = (says("one"), says("other"), says(""));
        assert_eq!(says("one"), one);
        let different = [absent, one, other, empty];
        for (place, digest) in different.iter().enumerate() {
            assert!(!different[..place].contains(digest), "{place}");
        }
        // The same text in another's place is another thing.
        let moved = TrunkConfig {
            cert_file: config.ca_file.clone(),
            ..trunk("tls:carrier.example", &[])
        };
        assert_ne!(moved.files_digest(), one);
        assert_eq!(
            trunk("192.0.2.1", &[]).files_digest(),
            trunk("192.0.2.2", &[]).files_digest()
        );
    }

    #[test]
    fn a_further_target_has_its_own_address_and_all_else_of_the_trunk() {
        let mut config = trunk("192.0.2.1:5060", &["192.0.2.2:5070"]);
        let at = |config: &TrunkConfig| {
            let routes = config.trunk("t").unwrap().routes;
            let named = routes.iter().map(|Route { trunk, .. }| {
                let target = trunk.target.to_string();
                (target, trunk.domain.clone())
            });
            named.collect::<Vec<_>>()
        };
        let told = [
            ("udp:192.0.2.1:5060", "192.0.2.1"),
            ("udp:192.0.2.2:5070", "192.0.2.2"),
        ];
        assert_eq!(at(&config), told.map(|(a, b)| (a.to_owned(), b.to_owned())));
        config.domain = Some("carrier.example".to_owned());
        assert!(
            at(&config)
                .iter()
                .all(|(_, domain)| domain == "carrier.example")
        );
    }

    /// A trunk of this target whose keys name files: no such, or one with this text and mode.
    #[cfg(unix)]
    fn with_files(
        target: &str,
        files: [Option<(&str, u32)>; 3],
    ) -> Result<TrunkRoutes, Vec<String>> {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, file: Option<(&str, u32)>| {
            let (text, mode) = file?;
            let path = folder.path().join(name);
            if !text.is_empty() {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            Some(path)
        };
        let [ca, certificate, key] = files;
        let config = TrunkConfig {
            ca_file: path("ca", ca),
            cert_file: path("certificate", certificate),
            key_file: path("key", key),
            ..trunk(target, &[])
        };
        config.trunk("carrier")
    }

    #[cfg(unix)]
    #[test]
    fn files_of_tls_that_cannot_be_used_are_named() {
        let names = vec!["carrier.example".to_owned()];
        let authority = rcgen::generate_simple_self_signed(names).unwrap();
        let (certificate, key) = (authority.cert.pem(), authority.signing_key.serialize_pem());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let good = Some((certificate.as_str(), 0o644));
        let own = Some((key.as_str(), 0o600));
        let (loose, other) = (Some((key.as_str(), 0o644)), Some((other.as_str(), 0o600)));
        let (absent, bad) = (Some(("", 0)), Some(("x", 0o600)));
        for target in ["tls:carrier.example", "carrier.example", "tls:192.0.2.1"] {
            let routes = with_files(target, [good, good, own]).unwrap();
            assert!(routes.trunk.peer.has_tls(), "{target}");
        }
        let check = |target, files, named| {
            let problems = with_files(target, files).unwrap_err();
            let told = problems.len() == 1 && problems[0].starts_with(named);
            assert!(told, "{named}: {problems:?}");
        };
        for (files, named) in [
            ([absent, None, None], "ca_file: cannot read"),
            ([bad, None, None], "ca_file: "),
            ([good, good, None], "cert_file and key_file: set both"),
            ([good, None, own], "cert_file and key_file: set both"),
            ([good, bad, own], "cert_file: "),
            ([good, good, bad], "key_file: "),
            ([good, good, loose], "key_file: "),
            ([good, good, other], "cert_file and key_file: "),
        ] {
            check("tls:carrier.example", files, named);
        }
        for target in ["tcp:carrier.example", "192.0.2.1:5060"] {
            check(
                target,
                [None, good, own],
                "ca_file, cert_file, key_file: no target",
            );
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunk.password");
        std::fs::write(&path, "correct horse").unwrap();
        let config = TrunkConfig {
            username: Some("dialgate".to_owned()),
            password_file: Some(path.clone()),
            ..TrunkConfig::towards("127.0.0.1:5060".parse::<Destination>().unwrap())
        };
        for (mode, usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let told = config.trunk("carrier").map(drop);
            assert_eq!(told.is_ok(), usable, "{mode:o}: {told:?}");
            if let Err(problems) = told {
                let command = format!("chmod 600 {}", path.display());
                assert!(problems[0].contains(&command), "{problems:?}");
            }
        }
    }
}
