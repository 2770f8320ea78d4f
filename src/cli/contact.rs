//! `dialgate contact`: the facts about a person that rules need. `set` changes what it names and keeps the rest; between
//! its reading and its writing nobody else's change is lost (the etag says so).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args, Subcommand};
use uuid::Uuid;

use super::arguments::{Change, register_check, words};
use super::client::Remote;
use super::failure::{Refused, Usage};
use super::output::{self, Output};
use super::person;
use super::wire::{self, value};
use crate::domain::party::{Audience, LineType, RegisterCheck};
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, Code, FieldMask, ask, json};
use crate::grpc::pb::{
    self, Contact, ContactNumber, GetContactRequest, UpsertContactRequest, get_contact_request::Key,
};

/// A file of one person is small; whatever is larger is something else.
const JSON_BYTES_MAX: u64 = 1 << 20;
/// What the server alone writes; in a file it is what an earlier answer carried.
const OUTPUT_ONLY: [&str; 4] = ["party_id", "etag", "create_time", "update_time"];

/// The subcommands of `contact`.
#[derive(Debug, Subcommand)]
pub enum ContactCommand {
    /// Record facts about a person; what is not named stays as it is
    Set(Box<SetArgs>),
    /// Show what is recorded about a person
    Show(ShowArgs),
}

/// Arguments of `contact set`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("told").multiple(true))]
#[command(after_help = "Examples:\n  \
                        dialgate contact set +14045550141 --audience consumer --region US-GA --zip 30303 \\\n    \
                        --line-type landline --register us-dnc=clear@2026-11-20\n  \
                        dialgate contact show +14045550141 --json > person.json   # edit it, then\n  \
                        dialgate contact set +14045550141 --from-json person.json\n  \
                        dialgate contact set +493023125201 --seller acme --notice n-1 --assessment LIA-1\n\n\
                        Dealings with a seller (notice, assessment, purchases, a call asked for …) are facts of that seller's calls alone.\n\
                        Facts without an option of their own (dealings[].relationship, dealings[].callback, directory …) go through\n\
                        --from-json; a list that the file names (numbers, dealings) replaces the recorded one.")]
pub struct SetArgs {
    /// One of the person's numbers, E.164; a new one makes a new person unless --party says whose it is
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    /// Person who holds the number
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    /// Name to show to the agent
    #[arg(long)]
    pub name: Option<String>,
    /// Organisation that the person belongs to, by your own name for it; "" = none
    #[arg(long)]
    pub account: Option<String>,
    /// Language to speak, as a BCP 47 tag such as de
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// In what capacity the person is called
    #[arg(long, value_parser = words!(Audience))]
    pub audience: Option<Audience>,
    /// What kind of line the number is
    #[arg(long, value_parser = words!(LineType))]
    pub line_type: Option<LineType>,
    /// Country, ISO 3166-1 such as US; another country than recorded clears region, postal code and time zone
    #[arg(long, value_name = "ISO2")]
    pub country: Option<String>,
    /// Subdivision, ISO 3166-2 such as US-GA
    #[arg(long)]
    pub region: Option<String>,
    /// Postal code
    #[arg(long)]
    pub zip: Option<String>,
    /// Time zone that the person named, such as America/New_York
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// What a register said of the number, by the date of its list; may be repeated. An older list than the one on record
    /// changes nothing
    #[arg(long = "register", value_name = "ID=clear|listed|unknown@DATE", value_parser = register_check)]
    pub registers: Vec<RegisterCheck>,
    /// Seller whose --notice or --assessment is set; what is recorded of other sellers stays
    #[arg(long, requires = "told")]
    pub seller: Option<String>,
    /// Version of the privacy notice that the person was given by the seller
    #[arg(long, value_name = "VERSION", requires = "seller", group = "told")]
    pub notice: Option<String>,
    /// Where the seller's assessment of legitimate interest is filed
    #[arg(long, value_name = "REF", requires = "seller", group = "told")]
    pub assessment: Option<String>,
    /// Facts as one JSON object in the form of `contact show --json`; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub from_json: Option<PathBuf>,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `contact show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dialgate contact show +14045550141")]
pub struct ShowArgs {
    /// One of the person's numbers, E.164, or the person's id
    #[arg(value_name = "NUMBER|ID", value_parser = whom)]
    pub whom: Whom,
    #[command(flatten)]
    pub remote: Remote,
}

/// Whom to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Whoever holds the number.
    Number(Phone),
    /// This person.
    Person(Uuid),
}

impl ContactCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Set(args) => &args.remote,
            Self::Show(args) => &args.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: ContactCommand) -> Result<ExitCode> {
    match command {
        ContactCommand::Set(args) => set(*args).await,
        ContactCommand::Show(args) => show(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn set(args: SetArgs) -> Result<()> {
    let file = args.from_json.as_deref().map(read_json).transpose()?;
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let key = match args.party {
        Some(id) => Key::PartyId(id.to_string()),
        None => Key::Number(args.number.reveal()),
    };
    let known = get(&client, key).await?;
    let (contact, mask) = changed(&args, known, file)?;
    if mask.0.is_empty() {
        return Err(Usage(
            "nothing to set: name at least one fact, see `dialgate contact set --help`".to_owned(),
        )
        .into());
    }
    let answer = client
        .contacts()
        .upsert_contact(ask(UpsertContactRequest {
            request_id: args.change.name(),
            contact: Some(contact),
            update_mask: Some(FieldMask { paths: mask.0 }),
        }))
        .await
        // Whatever became of it, the same command again sets the same facts.
        .map_err(Refused::question)?
        .into_inner();
    let contact = answer
        .contact
        .context("the server answered without the person")?;
    print(output, &contact)
}

async fn show(args: ShowArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let key = match args.whom {
        Whom::Number(number) => Key::Number(number.reveal()),
        Whom::Person(id) => Key::PartyId(id.to_string()),
    };
    let answer = client
        .contacts()
        .get_contact(ask(GetContactRequest { key: Some(key) }))
        .await
        .map_err(Refused::question)?
        .into_inner();
    let contact = answer
        .contact
        .context("the server answered without the person")?;
    print(args.remote.output(), &contact)
}

/// The person as recorded. A number that nobody holds yet is no failure; a person who does not exist is.
async fn get(client: &Client, key: Key) -> Result<Option<Contact>> {
    let by_number = matches!(key, Key::Number(_));
    match client
        .contacts()
        .get_contact(ask(GetContactRequest { key: Some(key) }))
        .await
    {
        Ok(answer) => Ok(answer.into_inner().contact),
        Err(status) if by_number && status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Refused::question(status).into()),
    }
}

fn whom(text: &str) -> Result<Whom, String> {
    if let Ok(id) = text.parse() {
        return Ok(Whom::Person(id));
    }
    Phone::parse(text).map(Whom::Number).map_err(|_| {
        "neither an E.164 number such as +14045550141 nor the id of a person".to_owned()
    })
}

fn read_json(path: &Path) -> Result<(Contact, Vec<String>)> {
    let place = || format!("--from-json `{}`", path.display());
    let mut text = String::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(place)?)
    };
    let length = source
        .take(JSON_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(place)?;
    if length as u64 > JSON_BYTES_MAX {
        return Err(Usage(format!(
            "{}: larger than 1 MiB, expected one person",
            place()
        ))
        .into());
    }
    let object =
        serde_json::from_str(&text).map_err(|problem| Usage(format!("{}: {problem}", place())))?;
    json::message("Contact", object)
        .map_err(|problem| Usage(format!("{}: {problem}", place())).into())
}

/// The fields to write, each once.
#[derive(Debug, Default)]
struct Mask(Vec<String>);

impl Mask {
    fn add(&mut self, field: &str) {
        if !self.0.iter().any(|known| known == field) {
            self.0.push(field.to_owned());
        }
    }
}

/// What to write and under which fields: the file's facts over the recorded ones, the options over both.
fn changed(
    args: &SetArgs,
    known: Option<Contact>,
    file: Option<(Contact, Vec<String>)>,
) -> Result<(Contact, Mask)> {
    let known = known.unwrap_or_default();
    let is_new = known.party_id.is_empty();
    let mut mask = Mask::default();
    let mut contact = match file {
        Some((facts, named)) => {
            let named = named
                .iter()
                .filter(|name| !OUTPUT_ONLY.contains(&name.as_str()));
            named.for_each(|name| mask.add(name));
            laid_over(known, facts, &mask.0)?
        }
        None => known,
    };
    if let Some(id) = args.party {
        contact.party_id = id.to_string();
    }
    apply_facts(args, &mut contact, &mut mask);
    apply_dealings(args, &mut contact, &mut mask);
    apply_location(args, &mut contact, &mut mask);
    apply_number(args, &mut contact, &mut mask);
    if is_new {
        mask.add("numbers");
    }
    Ok((contact, mask))
}

/// The facts of a file over those on record. Options change single parts of a location, of the list of numbers and of
/// the dealings, so these start from what is recorded unless the file names them.
fn laid_over(known: Contact, mut facts: Contact, named: &[String]) -> Result<Contact> {
    let is_named = |field: &str| named.iter().any(|name| name == field);
    if facts.party_id.is_empty() {
        facts.party_id = known.party_id;
    } else if !known.party_id.is_empty() && facts.party_id != known.party_id {
        return Err(Usage(format!(
            "--from-json is about person `{}`, the number belongs to person `{}`; take party_id out or name another number",
            output::plain(&facts.party_id),
            known.party_id
        ))
        .into());
    }
    // The file's etag, if it has one, is older than the one just read: it protects the longer span.
    if facts.etag.is_empty() {
        facts.etag = known.etag;
    }
    if !is_named("location") {
        facts.location = known.location;
    }
    if !is_named("numbers") {
        facts.numbers = known.numbers;
    }
    if !is_named("dealings") {
        facts.dealings = known.dealings;
    }
    Ok(facts)
}

fn apply_facts(args: &SetArgs, contact: &mut Contact, mask: &mut Mask) {
    if let Some(text) = &args.name {
        contact.display_name.clone_from(text);
        mask.add("display_name");
    }
    if let Some(account) = &args.account {
        contact.account.clone_from(account);
        mask.add("account");
    }
    if let Some(tag) = &args.language {
        contact.language_tag.clone_from(tag);
        mask.add("language_tag");
    }
    if let Some(audience) = args.audience {
        contact.audience = value!(Audience, audience);
        mask.add("audience");
    }
}

fn apply_dealings(args: &SetArgs, contact: &mut Contact, mask: &mut Mask) {
    let Some(seller) = &args.seller else { return };
    let place = contact
        .dealings
        .iter()
        .position(|known| known.seller == *seller);
    let mut dealings = match place {
        Some(place) => contact.dealings.remove(place),
        None => pb::Dealings {
            seller: seller.clone(),
            ..pb::Dealings::default()
        },
    };
    if let Some(version) = &args.notice {
        dealings.notice = Some(pb::Notice {
            version: version.clone(),
        });
    }
    if let Some(reference) = &args.assessment {
        dealings.legitimate_interest = Some(pb::LegitimateInterest {
            assessment_on_file: true,
            reference: reference.clone(),
        });
    }
    contact
        .dealings
        .insert(place.unwrap_or(contact.dealings.len()), dealings);
    mask.add("dealings");
}

fn apply_location(args: &SetArgs, contact: &mut Contact, mask: &mut Mask) {
    let stated = [&args.country, &args.region, &args.zip, &args.timezone];
    if stated.iter().all(|part| part.is_none()) {
        return;
    }
    let location = contact.location.get_or_insert_default();
    if args
        .country
        .as_ref()
        .is_some_and(|country| *country != location.country)
    {
        *location = pb::Location::default();
    }
    let parts = [
        &mut location.country,
        &mut location.region,
        &mut location.postal_code,
        &mut location.timezone,
    ];
    for (text, part) in stated.into_iter().zip(parts) {
        if let Some(text) = text {
            part.clone_from(text);
        }
    }
    mask.add("location");
}

fn apply_number(args: &SetArgs, contact: &mut Contact, mask: &mut Mask) {
    let wanted = args.number.reveal();
    let place = contact
        .numbers
        .iter()
        .position(|known| known.number == wanted);
    let mut number = match place {
        Some(place) => contact.numbers.remove(place),
        None => ContactNumber {
            number: wanted,
            ..ContactNumber::default()
        },
    };
    if let Some(line_type) = args.line_type {
        number.line_type = value!(LineType, line_type);
    }
    for check in &args.registers {
        number
            .registers
            .retain(|known| known.register != check.register);
        number.registers.push(pb::RegisterCheck {
            register: check.register.clone(),
            listed: check.listed,
            as_of_date: Some(wire::date_to_wire(check.as_of)),
            listed_since_date: None,
        });
    }
    if place.is_none() || args.line_type.is_some() || !args.registers.is_empty() {
        mask.add("numbers");
    }
    contact
        .numbers
        .insert(place.unwrap_or(contact.numbers.len()), number);
}

fn print(output: Output, contact: &Contact) -> Result<()> {
    output.answer(
        || json::object("Contact", contact),
        || person::text(contact, output.paint()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use serde_json::json;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        set: SetArgs,
    }

    fn args(options: &[&str]) -> SetArgs {
        Line::parse_from(["set", "+14045550141"].iter().chain(options)).set
    }

    fn known() -> Contact {
        let object = json!({
            "party_id": "0190d5a5-0000-7000-8000-000000000001",
            "etag": "one",
            "audience": "consumer",
            "location": { "country": "US", "region": "US-FL", "postal_code": "33101" },
            "numbers": [
                { "number": "+14045550140" },
                { "number": "+14045550141", "line_type": "mobile",
                  "registers": [{ "register": "us-dnc", "listed": true, "as_of_date": "2026-01-01" }] },
            ],
        });
        json::message("Contact", object).unwrap().0
    }

    fn change(
        options: &[&str],
        known: Option<Contact>,
        file: Option<serde_json::Value>,
    ) -> (Contact, Vec<String>) {
        let file = file.map(|object| json::message("Contact", object).unwrap());
        let (contact, mask) = changed(&args(options), known, file).unwrap();
        (contact, mask.0)
    }

    #[test]
    fn options_change_what_they_name_and_keep_the_rest() {
        let (contact, fields) = change(
            &[
                "--zip",
                "33130",
                "--register",
                "us-dnc=clear@2026-11-20",
                "--register",
                "us-rnd=clear@2026-11-20",
            ],
            Some(known()),
            None,
        );
        assert_eq!(fields, ["location", "numbers"]);
        assert_eq!(contact.etag, "one");
        let location = contact.location.unwrap();
        assert_eq!(
            (location.region.as_str(), location.postal_code.as_str()),
            ("US-FL", "33130")
        );
        assert_eq!(contact.numbers.len(), 2);
        let number = &contact.numbers[1];
        assert_eq!(number.line_type(), pb::LineType::Mobile);
        let registers: Vec<_> = number
            .registers
            .iter()
            .map(|check| (check.register.as_str(), check.listed))
            .collect();
        assert_eq!(
            registers,
            [("us-dnc", Some(false)), ("us-rnd", Some(false))]
        );
    }

    #[test]
    fn another_country_is_another_place() {
        let (contact, _) = change(&["--country", "DE"], Some(known()), None);
        let location = contact.location.unwrap();
        assert_eq!(
            (
                location.country.as_str(),
                location.region.as_str(),
                location.postal_code.as_str()
            ),
            ("DE", "", "")
        );
        let (same, _) = change(&["--country", "US"], Some(known()), None);
        assert_eq!(same.location.unwrap().region, "US-FL");
    }

    #[test]
    fn a_new_number_is_a_new_person_and_naming_nothing_sets_nothing() {
        let (contact, fields) = change(&["--audience", "business"], None, None);
        assert_eq!(fields, ["audience", "numbers"]);
        assert_eq!((contact.party_id.as_str(), contact.numbers.len()), ("", 1));
        assert!(change(&[], Some(known()), None).1.is_empty());
    }

    #[test]
    fn a_file_names_the_fields_it_writes_and_its_etag_holds() {
        let file = json!({ "etag": "zero", "minor": false, "location": { "country": "GB" } });
        let (contact, fields) = change(&["--region", "GB-SCT"], Some(known()), Some(file));
        assert_eq!(fields, ["location", "minor"]);
        assert_eq!(
            (contact.etag.as_str(), contact.minor),
            ("zero", Some(false))
        );
        assert_eq!(contact.location.unwrap().region, "GB-SCT");
        assert_eq!(
            contact.numbers.len(),
            2,
            "numbers that the file does not name stay"
        );

        let other = json!({ "party_id": "0190d5a5-0000-7000-8000-000000000002", "minor": true });
        let file = json::message("Contact", other).unwrap();
        assert!(
            changed(&args(&[]), Some(known()), Some(file))
                .unwrap_err()
                .to_string()
                .contains("another number")
        );
    }

    /// What is told of one seller leaves what is recorded of the others, for the list is written as a whole.
    #[test]
    fn dealings_are_one_sellers() {
        let object = json!({ "dealings": [
            { "seller": "acme", "notice": { "version": "n-1" }, "personal_relationship": true },
            { "seller": "beta", "notice": { "version": "n-2" } },
        ] });
        let of = json::message::<Contact>("Contact", object.clone())
            .unwrap()
            .0;
        let person = Contact {
            dealings: of.dealings,
            ..known()
        };
        let options = [
            "--seller",
            "acme",
            "--notice",
            "n-3",
            "--assessment",
            "LIA-1",
        ];
        let (contact, fields) = change(&options, Some(person.clone()), None);
        assert_eq!(fields, ["dealings"]);
        let acme = json!({
            "seller": "acme", "notice": { "version": "n-3" }, "personal_relationship": true,
            "legitimate_interest": { "assessment_on_file": true, "reference": "LIA-1" },
        });
        let told = json::object("Contact", &contact).unwrap();
        assert_eq!(told["dealings"], json!([acme, object["dealings"][1]]));
        let options = ["--seller", "gamma", "--notice", "n-1"];
        let (contact, _) = change(&options, Some(person.clone()), None);
        let sellers = contact.dealings.iter().map(|each| each.seller.as_str());
        assert_eq!(sellers.collect::<Vec<_>>(), ["acme", "beta", "gamma"]);
        let file = json!({ "dealings": [{ "seller": "beta" }] });
        let (contact, fields) = change(&["--language", "de"], Some(person.clone()), Some(file));
        assert_eq!(fields, ["dealings", "language_tag"]);
        assert_eq!(contact.dealings.len(), 1, "the file's list is the list");
        let (contact, _) = change(&[], Some(person.clone()), Some(json!({ "minor": false })));
        assert_eq!(contact.dealings, person.dealings);
    }

    #[test]
    fn whom_to_show_is_a_number_or_an_id() {
        assert!(matches!(whom("+14045550141"), Ok(Whom::Number(_))));
        assert!(matches!(
            whom("0190d5a5-0000-7000-8000-000000000001"),
            Ok(Whom::Person(_))
        ));
        assert!(whom("4045550141").is_err());
    }
}
