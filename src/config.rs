//! The whole configuration: one TOML file, each value overridable by the environment, parsed once and checked once.
//!
//! Each section is a struct of the module that owns it; this file only joins, loads and checks. `DIALGATE__GRPC__LISTEN`
//! overrides `listen` of `[grpc]`. Secrets are never values here, only names of files.

mod trunks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::config::{Environment, File, FileFormat, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::console::{ConsentSource, ConsentSourceConfig, ConsoleConfig};
use crate::dialer::{DialerConfig, Lane, PaceConfig, agent_names};
use crate::domain::campaign::Campaign;
use crate::domain::route::Carriers;
use crate::domain::time::Micros;
use crate::gate::{CampaignConfig, GateConfig, RegistryConfig, provider_problems};
use crate::grpc::GrpcConfig;
use crate::passport::Validity;
use crate::policy::{OPERATOR_FILE, Pack, PackFiles, PackProblem, PackProblems};
use crate::provider::{ProviderConfig, Service};
use crate::sequencer::AuditConfig;
use crate::sip::SipConfig;
use crate::store::StoreConfig;
use crate::telemetry::LogConfig;
use crate::webhook::{Webhook, WebhookConfig};
use trunks::{carriers, never_taken};

/// Who is told so long before has the time to renew a certificate.
const RENEW_WITHIN: Duration = Duration::from_secs(14 * 86_400);

/// Everything that a node is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the data is.
    pub store: StoreConfig,
    /// Where clients are served.
    pub grpc: GrpcConfig,
    /// Where health, metrics and forms are served over HTTP; absent = nowhere.
    pub console: Option<ConsoleConfig>,
    /// Where SIP is spoken.
    pub sip: SipConfig,
    /// How the worker works.
    pub dialer: DialerConfig,
    /// Bounds of the gate.
    pub gate: GateConfig,
    /// The law that the configuration brings, under which campaigns and regions were checked.
    pub pack: Arc<Pack>,
    /// What is logged.
    pub log: LogConfig,
    /// Trunks with their limits.
    pub lanes: Vec<Lane>,
    /// Campaigns.
    pub campaigns: Vec<Campaign>,
    /// Who is told of changes of opt-outs.
    pub webhooks: Vec<Webhook>,
    /// How the audit log is signed.
    pub audit: AuditConfig,
}

/// Where the law is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// A folder of rules; absent = those of the binary.
    pub folder: Option<PathBuf>,
    /// What the folder does to the rules of the binary.
    pub mode: RulesMode,
}

/// What an operator's folder does to the rules of the binary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RulesMode {
    /// Takes their place.
    #[default]
    Replace,
    /// Adds to them; nothing of theirs can be said anew.
    Add,
}

impl RulesConfig {
    /// The rule pack of the folder, of the binary, or of both.
    pub fn load(&self) -> Result<Pack, PackProblems> {
        let Some(folder) = &self.folder else {
            return Pack::embedded();
        };
        let files = PackFiles::read(folder)?;
        if files.operator().is_some() {
            return Err(PackProblems(vec![PackProblem {
                file: OPERATOR_FILE.to_owned(),
                line: None,
                problem: "this name is the server's own; give the file another one".to_owned(),
            }]));
        }
        Pack::of(match self.mode {
            RulesMode::Replace => files,
            RulesMode::Add => PackFiles::embedded().with_added(files),
        })
    }
}

/// Everything that is wrong with a configuration, each with the section and key it stands at.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n{}", .0.iter().map(|each| format!("  {each}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigProblems(pub Vec<String>);

impl Config {
    /// What each trunk may carry.
    #[must_use]
    pub fn carriers(&self) -> Carriers {
        carriers(&self.lanes)
    }

    /// Reads the file, lays the environment over it, and checks everything.
    pub fn load(path: &Path) -> Result<Self, ConfigProblems> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigProblems(vec![format!("{}: cannot be read: {error}", path.display())])
        })?;
        Self::parse(
            &text,
            Environment::with_prefix("DIALGATE")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true),
        )
    }

    /// Certificates of ours that are not valid at this instant, each with its section and key: nothing is signed with them, and
    /// carriers refuse connections.
    #[must_use]
    pub fn certificate_problems(&self, now: Micros) -> Vec<String> {
        self.certificates(|validity| validity.problem(now))
    }

    /// Those that are valid, and not for long.
    #[must_use]
    pub fn certificates_ending(&self, now: Micros) -> Vec<String> {
        self.certificates(|validity| validity.ends_within(RENEW_WITHIN, now))
    }

    fn certificates(&self, say: impl Fn(Validity) -> Option<String>) -> Vec<String> {
        let mut told = Vec::new();
        for lane in &self.lanes {
            let signs = lane.voucher.as_ref().and_then(|voucher| voucher.validity());
            let shows = lane.trunk.peer.own_validity();
            for (key, validity) in [("identity.certificate_file", signs), ("cert_file", shows)] {
                let name = &lane.trunk.name;
                let said = validity.and_then(&say);
                told.extend(said.map(|said| format!("[trunk.{name}] {key}: {said}")));
            }
        }
        told
    }

    /// The same from text, with this environment.
    pub fn parse(text: &str, environment: Environment) -> Result<Self, ConfigProblems> {
        let sections: BTreeMap<String, Value> = ::config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(environment)
            .build()
            .and_then(::config::Config::try_deserialize)
            .map_err(|error| ConfigProblems(vec![error.to_string()]))?;
        Sections {
            sections,
            problems: Vec::new(),
        }
        .join()
    }
}

/// The sections not yet taken, and what was found wrong so far.
struct Sections {
    sections: BTreeMap<String, Value>,
    problems: Vec<String>,
}

impl Sections {
    fn join(mut self) -> Result<Config, ConfigProblems> {
        let store = self.take::<StoreConfig>("store");
        let grpc = self.take::<GrpcConfig>("grpc");
        let sip = self.take::<SipConfig>("sip");
        let dialer = self.dialer();
        let gate = self.gate();
        let rules = self.take::<RulesConfig>("rules");
        let log = self.take::<LogConfig>("log");
        let pack = rules.and_then(|rules| self.pack(&rules));
        let (trunks, lanes) = self.lanes(sip.as_ref());
        let carriers = carriers(&lanes);
        let agents = self.agents((sip.as_ref(), pack.as_deref()), &lanes);
        let campaigns = self.campaigns((&trunks, &carriers), pack.as_deref());
        let console = self.console(&campaigns);
        let providers = self.providers(pack.as_deref());
        let webhooks = self.webhooks();
        let audit = self.audit();
        let unknown = self.sections.keys();
        let unknown = unknown.map(|name| format!("[{name}]: there is no such section"));
        self.problems.extend(unknown);
        self.look_at((&store, &grpc, &sip, &log));
        if let (Some(gate), Some(pack)) = (&gate, &pack) {
            self.at("[gate]", gate.problems(pack, &campaigns));
        }
        let gate = gate.map(|gate| GateConfig {
            trunks: carriers,
            agents: agent_names(&agents),
            providers,
            webhooks: webhooks.iter().map(|each| each.name.clone()).collect(),
            ..gate
        });
        let dialer = dialer.map(|dialer| DialerConfig { agents, ..dialer });
        match (
            store,
            grpc,
            sip,
            dialer,
            gate,
            pack,
            log,
            audit,
            self.problems.is_empty(),
        ) {
            (
                Some(store),
                Some(grpc),
                Some(sip),
                Some(dialer),
                Some(gate),
                Some(pack),
                Some(log),
                Some(audit),
                true,
            ) => Ok(Config {
                store,
                grpc,
                console,
                sip,
                dialer,
                gate,
                pack,
                log,
                lanes,
                campaigns,
                webhooks,
                audit,
            }),
            _ => Err(ConfigProblems(self.problems)),
        }
    }

    /// What is wrong with the sections that name no others.
    fn look_at(
        &mut self,
        (store, grpc, sip, log): (
            &Option<StoreConfig>,
            &Option<GrpcConfig>,
            &Option<SipConfig>,
            &Option<LogConfig>,
        ),
    ) {
        let problems = store.iter().flat_map(StoreConfig::problems);
        self.at("[store]", problems.collect());
        let problems = grpc.iter().flat_map(GrpcConfig::problems);
        self.at("[grpc]", problems.collect());
        self.at("[sip]", sip.iter().flat_map(SipConfig::problems).collect());
        self.at("[log]", log.iter().flat_map(LogConfig::problems).collect());
    }

    /// What the worker is told, in a section and the rows `[[pace]]`.
    fn dialer(&mut self) -> Option<DialerConfig> {
        let dialer = self.take::<DialerConfig>("dialer");
        let problems = dialer.iter().flat_map(DialerConfig::problems);
        let problems = problems.collect();
        self.at("[dialer]", problems);
        let mut paces: Vec<PaceConfig> = Vec::new();
        for (number, row) in self.take_rows::<PaceConfig>("pace") {
            let mut problems = row.rate().problems();
            if paces.iter().any(|each| each.prefix == row.prefix) {
                problems.push(format!("prefix: `{}` has a row already", row.prefix));
            }
            self.at(&format!("[[pace]] number {number}:"), problems);
            paces.push(row);
        }
        dialer.map(|dialer| DialerConfig { paces, ..dialer })
    }

    /// What the gate is told, in two sections.
    fn gate(&mut self) -> Option<GateConfig> {
        let registry = self.take::<RegistryConfig>("registry");
        let gate = self.take::<GateConfig>("gate");
        let problems = registry.iter().flat_map(RegistryConfig::problems);
        self.at("[registry]", problems.collect());
        Some(GateConfig {
            registry: registry?,
            ..gate?
        })
    }

    /// How the audit log is signed and witnessed.
    fn audit(&mut self) -> Option<AuditConfig> {
        let audit = self.take::<AuditConfig>("audit");
        self.at(
            "[audit]",
            audit.iter().flat_map(AuditConfig::problems).collect(),
        );
        audit
    }

    /// Where the console listens, with who may send consents to it; none without a section.
    fn console(&mut self, campaigns: &[Campaign]) -> Option<ConsoleConfig> {
        let is_there = self.sections.contains_key("console");
        let console = self.take::<ConsoleConfig>("console").filter(|_| is_there);
        let sources = self.sources(campaigns);
        if !is_there && !sources.is_empty() {
            let problem =
                "[consent_source]: forms are sent to the console; add a section [console]";
            self.problems.push(problem.to_owned());
        }
        let console = console.map(|console| ConsoleConfig { sources, ..console });
        let problems = console.iter().flat_map(ConsoleConfig::problems);
        self.at("[console]", problems.collect());
        console
    }

    fn sources(&mut self, campaigns: &[Campaign]) -> Vec<ConsentSource> {
        let mut sources = Vec::new();
        for (name, config) in self.take_all::<ConsentSourceConfig>("consent_source") {
            let Some(config) = config else { continue };
            let place = format!("[consent_source.{name}]");
            if !campaigns.iter().any(|each| each.seller == config.seller) {
                let problem = format!("{place} seller: no campaign calls for `{}`", config.seller);
                self.problems.push(problem);
            }
            match config.source(&name) {
                Ok(source) => sources.push(source),
                Err(problems) => self.at(&place, problems),
            }
        }
        sources
    }

    /// One section; an absent one is an empty one, so that its own defaults or its own complaints speak.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let empty = Value::from(::config::Map::<String, Value>::new());
        let section = self.sections.remove(name).unwrap_or(empty);
        self.read(section, &format!("[{name}]"))
    }

    /// Every section of this kind by its name; nothing for one that cannot be read, which has been told.
    fn take_all<T: DeserializeOwned>(&mut self, kind: &str) -> Vec<(String, Option<T>)> {
        let named: BTreeMap<String, Value> = self.take(kind).unwrap_or_default();
        let mut read = Vec::new();
        for (name, section) in named {
            let value = self.read(section, &format!("[{kind}.{name}]"));
            read.push((name, value));
        }
        read
    }

    fn read<T: DeserializeOwned>(&mut self, section: Value, place: &str) -> Option<T> {
        section
            .try_deserialize()
            .map_err(|error| self.problems.push(format!("{place} {error}")))
            .ok()
    }

    fn at(&mut self, place: &str, problems: Vec<String>) {
        let placed = problems
            .into_iter()
            .map(|problem| format!("{place} {problem}"));
        self.problems.extend(placed);
    }

    fn pack(&mut self, rules: &RulesConfig) -> Option<Arc<Pack>> {
        if rules.folder.is_none() && rules.mode == RulesMode::Add {
            let problem = "[rules] mode: `add` needs a folder; set `folder`, or leave `mode` out";
            self.problems.push(problem.to_owned());
        }
        rules
            .load()
            .map_err(|error| self.problems.push(format!("[rules] {error}")))
            .ok()
            .map(Arc::new)
    }

    /// The rows `[[provider]]`, each told by its place among them.
    fn providers(&mut self, pack: Option<&Pack>) -> Vec<Service> {
        let (mut read, mut services) = (Vec::new(), Vec::new());
        for (number, row) in self.take_rows::<ProviderConfig>("provider") {
            let place = format!("[[provider]] number {number}:");
            match row.service() {
                Ok(service) => services.push(service),
                Err(problems) => self.at(&place, problems),
            }
            read.push((number, row));
        }
        let problems = pack.map(|pack| provider_problems(pack, &read));
        for (number, problem) in problems.into_iter().flatten() {
            self.at(&format!("[[provider]] number {number}:"), vec![problem]);
        }
        services
    }

    /// The rows `[[webhook]]`, each told by its place among them.
    fn webhooks(&mut self) -> Vec<Webhook> {
        let mut webhooks: Vec<Webhook> = Vec::new();
        for (number, row) in self.take_rows::<WebhookConfig>("webhook") {
            let place = format!("[[webhook]] number {number}:");
            match row.webhook() {
                Ok(webhook) if webhooks.iter().any(|each| each.name == webhook.name) => {
                    let problem = format!("name: `{}` is taken by another one", webhook.name);
                    self.at(&place, vec![problem]);
                }
                Ok(webhook) => webhooks.push(webhook),
                Err(problems) => self.at(&place, problems),
            }
        }
        webhooks
    }

    /// Every row of this kind that can be read, with its place among them, counted from one.
    fn take_rows<T: DeserializeOwned>(&mut self, kind: &str) -> Vec<(usize, T)> {
        let rows = match self.sections.remove(kind) {
            Some(rows) => self.read::<Vec<Value>>(rows, &format!("[[{kind}]]")),
            None => None,
        };
        let mut read = Vec::new();
        for (row, number) in rows.into_iter().flatten().zip(1..) {
            let row = self.read::<T>(row, &format!("[[{kind}]] number {number}:"));
            read.extend(row.map(|row| (number, row)));
        }
        read
    }

    fn campaigns(
        &mut self,
        (trunks, carriers): (&[String], &Carriers),
        pack: Option<&Pack>,
    ) -> Vec<Campaign> {
        let mut campaigns = Vec::new();
        for (name, config) in self.take_all::<CampaignConfig>("campaign") {
            let Some(config) = config else { continue };
            let place = format!("[campaign.{name}]");
            let short = config.trunk.iter().map(|trunk| ("trunk", trunk));
            let long = config.trunks.iter().map(|route| ("trunks", &route.trunk));
            let named = short.chain(long).filter(|(_, name)| !trunks.contains(name));
            let unknown =
                named.map(|(key, name)| format!("{key}: there is no section [trunk.{name}]"));
            self.at(&place, unknown.collect());
            if let Some(pack) = pack {
                self.at(&place, config.unknown(pack));
            }
            match config.campaign(&name) {
                Ok(campaign) => {
                    self.at(&place, never_taken(&campaign, carriers));
                    campaigns.push(campaign);
                }
                Err(problems) => self.at(&place, problems),
            }
        }
        campaigns
    }
}

#[cfg(test)]
mod tests;
