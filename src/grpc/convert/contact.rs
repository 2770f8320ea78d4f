//! People: exactly what `domain::party` holds of them.

use crate::domain::party::{
    Audience, Directory, LineType, Location, Party, PartyNumber, Profile, ReassignedAnswer,
    ReassignedCheck, RegisterCheck, Restriction,
};
use crate::gate::ContactDraft;
use crate::grpc::pb;
use crate::place::{Tables, knows_region, zone_of_place};
use crate::policy::Pack;

use super::{Fields, NAME_CHARS_MAX, Noted, date, dealings, text, time, wire, wire_option};

/// Nobody has more telephones.
const NUMBERS_MAX: usize = 32;
/// Registers that one number may have been looked up in.
const REGISTERS_MAX: usize = 64;
const DISPLAY_NAME_CHARS_MAX: usize = 256;

/// Reads `UpsertContact`.
pub(in crate::grpc) fn draft(
    fields: &mut Fields,
    message: pb::UpsertContactRequest,
    pack: &Pack,
) -> Result<ContactDraft, Noted> {
    let Some(contact) = message.contact else {
        return fields.wrong("contact", "is missing");
    };
    let read = fields.within("contact", |fields| {
        let party_id = fields.id("party_id", &contact.party_id);
        let etag = etag(fields, &contact.etag);
        let numbers = numbers(fields, &contact.numbers, pack);
        let profile = profile(fields, contact, pack);
        Ok((party_id?, etag?, numbers?, profile?))
    });
    let (party_id, etag, numbers, profile) = read?;
    Ok(ContactDraft {
        party_id,
        profile,
        numbers,
        etag,
        // The gate knows the names, and takes all fields that are set where none is named.
        mask: message
            .update_mask
            .map(|mask| mask.paths)
            .filter(|paths| !paths.is_empty()),
    })
}

/// As the store makes them: a version, counted up.
fn etag(fields: &mut Fields, text: &str) -> Result<Option<String>, Noted> {
    match text.parse::<u32>() {
        _ if text.is_empty() => Ok(None),
        Ok(version) if version.to_string() == text => Ok(Some(text.to_owned())),
        _ => fields.wrong(
            "etag",
            "is none that this server gives; send the one of GetContact back as it came, or leave it out",
        ),
    }
}

fn profile(fields: &mut Fields, contact: pb::Contact, pack: &Pack) -> Result<Profile, Noted> {
    let account = fields.account("account", &contact.account);
    let display_name = fields.text("display_name", contact.display_name, DISPLAY_NAME_CHARS_MAX);
    let language_tag = fields.text("language_tag", contact.language_tag, 35);
    let audience = fields.word::<Audience>("audience", contact.audience);
    let location = inner(fields, "location", contact.location, |fields, message| {
        location(fields, message, pack.tables())
    });
    let restriction = inner(fields, "restriction", contact.restriction, restriction);
    let dealings = dealings::by_seller(fields, contact.dealings);
    Ok(Profile {
        account: account?,
        display_name: display_name?,
        language_tag: language_tag?,
        audience: audience?,
        location: location?,
        restriction: restriction?,
        directory: contact.directory.map(|directory| Directory {
            listed: directory.listed,
            marketing_opt_in: directory.marketing_opt_in,
        }),
        minor: contact.minor,
        dealings: dealings?,
    })
}

/// An inner message, if it is there, its fields named by their path.
pub(super) fn inner<M, T>(
    fields: &mut Fields,
    field: &str,
    message: Option<M>,
    read: impl FnOnce(&mut Fields, M) -> Result<T, Noted>,
) -> Result<Option<T>, Noted> {
    message
        .map(|message| fields.within(field, |fields| read(fields, message)))
        .transpose()
}

/// Only what the tables know: a place that does not resolve would be kept, and the number alone go on deciding.
fn location(
    fields: &mut Fields,
    message: pb::Location,
    tables: &Tables,
) -> Result<Location, Noted> {
    let country = message.country;
    let country = match country {
        country if country.is_empty() => Ok(None),
        country if tables.knows_country(&country) => Ok(Some(country)),
        _ => fields.wrong("country", "is not an ISO 3166-1 alpha-2 code such as US"),
    };
    let region = match message.region {
        region if region.is_empty() => Ok(None),
        region if is_region(&region) && knows_region(tables, &region) => Ok(Some(region)),
        _ => fields.wrong("region", "is not an ISO 3166-2 code such as US-FL"),
    };
    let postal_code = fields.text("postal_code", message.postal_code, 16);
    let timezone = match message.timezone {
        zone if zone.is_empty() => Ok(None),
        zone if zone_of_place(&zone).is_some() => Ok(Some(zone)),
        _ => fields.wrong(
            "timezone",
            "is not the IANA time zone of a place, such as America/New_York",
        ),
    };
    Ok(Location {
        country: country?,
        region: region?,
        postal_code: postal_code?,
        timezone: timezone?,
    })
}

fn is_region(text: &str) -> bool {
    text.split_once('-').is_some_and(|(country, part)| {
        country.len() == 2
            && country.bytes().all(|each| each.is_ascii_uppercase())
            && (1..=3).contains(&part.len())
            && part
                .bytes()
                .all(|each| each.is_ascii_uppercase() || each.is_ascii_digit())
    })
}

fn restriction(fields: &mut Fields, message: pb::Restriction) -> Result<Restriction, Noted> {
    let since = fields.time("start_time", message.start_time);
    let since = fields.required("start_time", since)?;
    Ok(Restriction { since })
}

fn numbers(
    fields: &mut Fields,
    messages: &[pb::ContactNumber],
    pack: &Pack,
) -> Result<Vec<PartyNumber>, Noted> {
    if messages.len() > NUMBERS_MAX {
        return fields.wrong("numbers", format!("are more than {NUMBERS_MAX}"));
    }
    let read: Vec<Result<PartyNumber, Noted>> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            fields.within(&format!("numbers[{index}]"), |fields| {
                number(fields, message, pack)
            })
        })
        .collect();
    let numbers: Vec<PartyNumber> = read.into_iter().collect::<Result<_, _>>()?;
    for (index, number) in numbers.iter().enumerate() {
        if numbers
            .iter()
            .take(index)
            .any(|earlier| earlier.number == number.number)
        {
            return fields.wrong(&format!("numbers[{index}].number"), "stands there twice");
        }
    }
    Ok(numbers)
}

fn number(
    fields: &mut Fields,
    message: &pb::ContactNumber,
    pack: &Pack,
) -> Result<PartyNumber, Noted> {
    let number = fields.number(pack.tables(), "number", &message.number);
    let number = fields.required("number", number);
    let line_type = fields.word::<LineType>("line_type", message.line_type);
    let registers = registers(fields, &message.registers, pack);
    let reassigned_check = inner(
        fields,
        "reassigned_check",
        message.reassigned_check,
        reassigned_check,
    );
    Ok(PartyNumber {
        number: number?,
        line_type: line_type?.unwrap_or(LineType::Unknown),
        registers: registers?,
        reassigned_check: reassigned_check?,
    })
}

fn registers(
    fields: &mut Fields,
    messages: &[pb::RegisterCheck],
    pack: &Pack,
) -> Result<Vec<RegisterCheck>, Noted> {
    if messages.len() > REGISTERS_MAX {
        return fields.wrong("registers", format!("are more than {REGISTERS_MAX}"));
    }
    let read: Vec<Result<RegisterCheck, Noted>> = messages
        .iter()
        .enumerate()
        .map(|(index, message)| {
            fields.within(&format!("registers[{index}]"), |fields| {
                register(fields, message, pack)
            })
        })
        .collect();
    read.into_iter().collect()
}

fn register(
    fields: &mut Fields,
    message: &pb::RegisterCheck,
    pack: &Pack,
) -> Result<RegisterCheck, Noted> {
    let register = fields.text("register", message.register.clone(), NAME_CHARS_MAX);
    let register = match fields.required("register", register) {
        // A mistyped name would be kept, and the rule that asks go on failing.
        Ok(name) if !pack.registers().any(|known| known == name) => fields.wrong(
            "register",
            format!(
                "is no register that the rules know; those are: {}",
                pack.registers().collect::<Vec<_>>().join(", ")
            ),
        ),
        read => read,
    };
    let as_of = fields.date("as_of_date", message.as_of_date);
    let as_of = fields.required("as_of_date", as_of);
    let listed_since = fields.date("listed_since_date", message.listed_since_date);
    Ok(RegisterCheck {
        register: register?,
        listed: message.listed,
        as_of: as_of?,
        listed_since: listed_since?,
        snapshot: None,
    })
}

fn reassigned_check(
    fields: &mut Fields,
    message: pb::ReassignedCheck,
) -> Result<ReassignedCheck, Noted> {
    let queried_on = fields.date("query_date", message.query_date);
    let queried_on = fields.required("query_date", queried_on);
    let for_date = fields.date("for_date", message.for_date);
    let for_date = fields.required("for_date", for_date);
    let answer = fields.required_word::<ReassignedAnswer>("answer", message.answer);
    Ok(ReassignedCheck {
        queried_on: queried_on?,
        for_date: for_date?,
        answer: answer?,
    })
}

/// A person as clients see them; only roles that may read personal data get here.
pub(in crate::grpc) fn contact(party: Party) -> pb::Contact {
    let profile = party.profile;
    pb::Contact {
        party_id: party.party_id.to_string(),
        display_name: text(profile.display_name),
        account: profile
            .account
            .map_or_else(String::new, |account| account.reveal().to_owned()),
        language_tag: text(profile.language_tag),
        audience: wire_option(profile.audience),
        location: profile.location.map(|location| pb::Location {
            country: text(location.country),
            region: text(location.region),
            postal_code: text(location.postal_code),
            timezone: text(location.timezone),
        }),
        restriction: profile.restriction.map(|restriction| pb::Restriction {
            start_time: Some(time(restriction.since)),
        }),
        directory: profile.directory.map(|directory| pb::Directory {
            listed: directory.listed,
            marketing_opt_in: directory.marketing_opt_in,
        }),
        minor: profile.minor,
        numbers: party.numbers.into_iter().map(contact_number).collect(),
        etag: party.etag,
        create_time: Some(time(party.create_time)),
        update_time: Some(time(party.update_time)),
        dealings: dealings::list(profile.dealings),
    }
}

fn contact_number(number: PartyNumber) -> pb::ContactNumber {
    pb::ContactNumber {
        number: number.number.reveal(),
        line_type: wire(number.line_type),
        registers: number
            .registers
            .into_iter()
            .map(|check| pb::RegisterCheck {
                register: check.register,
                listed: check.listed,
                as_of_date: Some(date(check.as_of)),
                listed_since_date: check.listed_since.map(date),
            })
            .collect(),
        reassigned_check: number.reassigned_check.map(|check| pb::ReassignedCheck {
            query_date: Some(date(check.queried_on)),
            for_date: Some(date(check.for_date)),
            answer: wire(check.answer),
        }),
    }
}
