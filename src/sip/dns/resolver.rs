//! The questions of RFC 3263 section 4, as far as the destination leaves them open: NAPTR for the transports, SRV for the
//! servers of each, A and AAAA for their addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::Answer;
use crate::sip::config::SipConfig;
use crate::sip::target::{Destination, Host, Target, Transport};

/// Servers of one name that are looked at; further ones would be tried by no call.
const SERVERS_MAX: usize = 32;
/// How long nothing is taken for known, where nobody says it.
const NOTHING_FOR: Duration = Duration::from_secs(30);
/// How long one name server may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Asked no more often than this, whatever the records say: a name without any lifetime would be asked for all day.
const FRESH_MIN: Duration = Duration::from_secs(5);
/// How long what is known in part is good enough.
const PART_FOR: Duration = Duration::from_secs(15);
/// Asked at least as often as this.
const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its servers; none is an answer too.
    pub answers: Vec<Answer>,
    /// How long it may be taken for true.
    pub fresh_for: Duration,
    /// What no name server answered of it: what was known before is better, if anything was.
    pub missed: Option<Unanswered>,
}

/// No name server could be asked, or none that knew; what was known before is the best there is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no name server answered: {0}")]
pub struct Unanswered(String);

/// Asks name servers.
#[derive(Debug)]
pub struct Resolver {
    inner: TokioResolver,
    listen: IpAddr,
}

impl Resolver {
    /// Asks those of the section, or else those of the system.
    pub fn new(config: &SipConfig) -> Result<Self, Unanswered> {
        let runtime = TokioRuntimeProvider::default();
        let mut builder = if config.dns_servers.is_empty() {
            TokioResolver::builder_tokio().map_err(unanswered)?
        } else {
            let servers = config.dns_servers.iter().map(|server| {
                let at = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
                NameServerConfig::new(server.ip(), true, connections)
            });
            let known = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(known, runtime)
        };
        // What is known is kept by who asks, for as long as the records say.
        let options = builder.options_mut();
        options.cache_size = 0;
        options.timeout = ANSWER_MAX;
        options.attempts = 2;
        let inner = builder.build().map_err(unanswered)?;
        let listen = config.listen.ip();
        Ok(Self { inner, listen })
    }

    /// What the destination stands for; `tls` tells whether that can be used.
    pub async fn find(&self, destination: &Destination, tls: bool) -> Result<Found, Unanswered> {
        let name = match &destination.host {
            Host::Ip(_) => {
                let targets = destination.numeric().into_iter().collect();
                return Search::default().found(vec![answer(0, targets)]);
            }
            Host::Name(name) => name,
        };
        // A full name: the search list of the system is for people who type.
        let name =
            Name::from_utf8(format!("{}.", name.trim_end_matches('.'))).map_err(unanswered)?;
        let mut search = Search::default();
        if destination.port.is_none() {
            let services = match destination.transport {
                Some(transport) => vec![(transport, service(transport, &name)?)],
                None => self.services(&name, tls, &mut search).await?,
            };
            let mut answers = Vec::new();
            for (rank, (transport, service)) in services.into_iter().enumerate() {
                answers.extend(self.servers(rank, transport, service, &mut search).await);
            }
            // A name whose servers are not known is not its own server, and neither is one that says that it has none.
            let transport = destination.transport.unwrap_or(Transport::Udp);
            if !answers.is_empty() || search.named_any || search.without.contains(&transport) {
                return search.found(answers);
            }
        }
        let transport = destination.transport.unwrap_or(Transport::Udp);
        let port = destination.port.unwrap_or(transport.default_port());
        let targets = self.targets(transport, name, port, &mut search).await;
        search.found(vec![answer(0, targets)])
    }

    /// The transports of a name and where their servers are named, best first: its NAPTR records, or else the usual places.
    async fn services(
        &self,
        name: &Name,
        tls: bool,
        search: &mut Search,
    ) -> Result<Vec<(Transport, Name)>, Unanswered> {
        let mut rows = Vec::new();
        let pointers = match self.ask(name.clone(), RecordType::NAPTR, search).await {
            Ok(pointers) => pointers,
            // They may say that it is TLS alone: no silence makes something weaker of that.
            Err(error) if tls => return Err(error),
            Err(error) => search.miss(error),
        };
        for row in pointers {
            let RData::NAPTR(row) = row else {
                continue;
            };
            let transport = match row.services.to_ascii_uppercase().as_slice() {
                b"SIP+D2U" => Transport::Udp,
                b"SIP+D2T" => Transport::Tcp,
                b"SIPS+D2T" if tls => Transport::Tls,
                _ => continue,
            };
            // Other flags ask for things that a host of SIP does not do.
            if row.flags.eq_ignore_ascii_case(b"s") {
                rows.push((row.order, row.preference, transport, row.replacement));
            }
        }
        rows.sort_by_key(|(order, preference, ..)| (*order, *preference));
        if !rows.is_empty() {
            let places = rows
                .into_iter()
                .map(|(_, _, transport, place)| (transport, place));
            return Ok(places.collect());
        }
        let usual = Transport::ALL
            .into_iter()
            .filter(|transport| tls || *transport != Transport::Tls);
        usual
            .map(|transport| Ok((transport, service(transport, name)?)))
            .collect()
    }

    /// The servers of one transport; one whose addresses nobody knows is left out.
    async fn servers(
        &self,
        rank: usize,
        transport: Transport,
        service: Name,
        search: &mut Search,
    ) -> Vec<Answer> {
        let rows = match self.ask(service, RecordType::SRV, search).await {
            Ok(rows) => rows,
            Err(error) => search.miss(error),
        };
        let mut answers = Vec::new();
        for row in rows {
            let RData::SRV(row) = row else {
                continue;
            };
            // A root alone says that there is no such service: RFC 2782.
            if row.target.is_root() {
                search.without.push(transport);
                continue;
            }
            search.named_any = true;
            if row.port == 0 || answers.len() == SERVERS_MAX {
                continue;
            }
            let targets = self.targets(transport, row.target, row.port, search).await;
            if !targets.is_empty() {
                answers.push(Answer {
                    rank,
                    priority: row.priority,
                    weight: row.weight,
                    targets,
                });
            }
        }
        answers
    }

    /// Addresses of the families that our socket reaches.
    async fn targets(
        &self,
        transport: Transport,
        name: Name,
        port: u16,
        search: &mut Search,
    ) -> Vec<Target> {
        // A socket for all of IPv6 reaches IPv4 too, by addresses that are mapped into it.
        let (v6, v4) = (
            self.listen.is_ipv6(),
            self.listen.is_ipv4() || self.listen.is_unspecified(),
        );
        let mut addresses = BTreeSet::new();
        for (kind, wanted) in [(RecordType::AAAA, v6), (RecordType::A, v4)] {
            if !wanted {
                continue;
            }
            let rows = match self.ask(name.clone(), kind, search).await {
                Ok(rows) => rows,
                Err(error) => search.miss(error),
            };
            for row in rows {
                match row {
                    RData::AAAA(ip) => addresses.insert((0, IpAddr::V6(ip.0))),
                    RData::A(ip) if v6 => addresses.insert((1, IpAddr::V6(ip.0.to_ipv6_mapped()))),
                    RData::A(ip) => addresses.insert((1, IpAddr::V4(ip.0))),
                    _ => continue,
                };
            }
        }
        let at = |(_, ip)| Target {
            transport,
            addr: SocketAddr::new(ip, port),
        };
        let targets = addresses.into_iter().map(at);
        targets
            .filter(|target| crate::sip::Trunk::may_be_sent_to(target.addr))
            .collect()
    }

    /// Records of one kind; that there are none is an answer.
    async fn ask(
        &self,
        name: Name,
        kind: RecordType,
        search: &mut Search,
    ) -> Result<Vec<RData>, Unanswered> {
        match self.inner.lookup(name, kind).await {
            Ok(found) => {
                let rows = found.answers();
                for row in rows {
                    search.learn(Duration::from_secs(row.ttl.into()));
                }
                Ok(rows.iter().map(|row| row.data.clone()).collect())
            }
            Err(error) if error.is_no_records_found() => {
                search.learn(nothing_for(&error));
                Ok(Vec::new())
            }
            Err(error) => Err(unanswered(error)),
        }
    }
}

/// How long nothing is known to be there: RFC 2308.
fn nothing_for(error: &NetError) -> Duration {
    let NetError::Dns(hickory_resolver::net::DnsError::NoRecordsFound(none)) = error else {
        return NOTHING_FOR;
    };
    none.negative_ttl
        .map_or(NOTHING_FOR, |seconds| Duration::from_secs(seconds.into()))
}

fn service(transport: Transport, name: &Name) -> Result<Name, Unanswered> {
    let prefix = match transport {
        Transport::Udp => "_sip._udp.",
        Transport::Tcp => "_sip._tcp.",
        Transport::Tls => "_sips._tcp.",
    };
    Name::from_utf8(format!("{prefix}{name}")).map_err(unanswered)
}

fn answer(rank: usize, targets: Vec<Target>) -> Answer {
    Answer {
        rank,
        priority: 0,
        weight: 0,
        targets,
    }
}

fn unanswered(error: impl std::fmt::Display) -> Unanswered {
    Unanswered(error.to_string())
}

/// What one search has heard beside targets.
#[derive(Debug, Default)]
struct Search {
    /// How long all of it stays true.
    fresh_for: Option<Duration>,
    /// The first question that nobody answered.
    missed: Option<Unanswered>,
    /// The name has servers, known or not.
    named_any: bool,
    /// Transports that it says it has no servers of.
    without: Vec<Transport>,
}

impl Search {
    fn learn(&mut self, fresh_for: Duration) {
        let known = self.fresh_for.unwrap_or(fresh_for);
        self.fresh_for = Some(known.min(fresh_for));
    }

    /// Goes on without an answer, as if there were nothing.
    fn miss(&mut self, error: Unanswered) -> Vec<RData> {
        self.learn(PART_FOR);
        self.missed.get_or_insert(error);
        Vec::new()
    }

    /// What was found; nothing at all, with questions unanswered, is no answer.
    fn found(self, mut answers: Vec<Answer>) -> Result<Found, Unanswered> {
        answers.retain(|answer| !answer.targets.is_empty());
        if let (true, Some(missed)) = (answers.is_empty(), &self.missed) {
            return Err(missed.clone());
        }
        Ok(Found {
            answers,
            fresh_for: self
                .fresh_for
                .unwrap_or(FRESH_MAX)
                .clamp(FRESH_MIN, FRESH_MAX),
            missed: self.missed,
        })
    }
}
