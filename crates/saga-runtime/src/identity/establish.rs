use saga_database::{Database, adopt_system_id, has_no_data, made_at, read_system_id, replace_system_id};
use saga_message::{ServiceSpec, SystemId, SystemIdError};
use sea_orm::{DatabaseTransaction, DbErr};
use uuid::Uuid;

use super::{IdentitySettings, is_older};

/// Why a service does not start with a database; the text is for whoever starts the service.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database has data of another system than the one in the settings.
    #[error(
        "the database of {service} belongs to the system {theirs} and has data, and --system-id (SYSTEM_ID) is \
         {chosen}: omit it to continue with this database, or check DATABASE_URL (--data-dir)"
    )]
    HasData {
        /// The service whose database it is.
        service: &'static str,
        /// The id in the database.
        theirs: SystemId,
        /// The id in the settings.
        chosen: SystemId,
    },
    /// The databases belong to different systems.
    #[error(
        "the databases are not of one system: that of {0} belongs to {1}, and that of {2} to {3}. Is DATABASE_URL \
         (--data-dir) right? If a database was lost and an empty one is in its place, start once with --system-id \
         (SYSTEM_ID) and the id of the others; see docs/operations.md"
    )]
    NotOneSystem(&'static str, SystemId, &'static str, SystemId),
    /// The database has no id and is newer than the system.
    #[error(
        "the database of {service} is new, and the system {id} is not: is it the wrong one, or was it restored without \
         its data? If it was lost, start once with --system-id {id} (SYSTEM_ID); see docs/operations.md"
    )]
    New {
        /// The service whose database it is.
        service: &'static str,
        /// The id of the system.
        id: SystemId,
    },
    /// The database cannot be read or written.
    #[error("cannot read or write the database's system id")]
    Database(#[from] DbErr),
}

/// Determines which system the database of `service` belongs to. If it belongs to none yet, it is assigned to
/// `--system-id`, or to a new id if this is the service that creates the system's id.
///
/// # Errors
/// If the database has data of another system than the one in the settings, or cannot be read or written.
pub async fn establish(
    database: &Database,
    service: ServiceSpec,
    settings: &IdentitySettings,
) -> Result<Option<SystemId>, IdentityError> {
    let chosen = settings.system_id;
    let transaction = database.begin().await?;
    let id = match (read_system_id(&transaction).await?, chosen) {
        (Some(theirs), Some(chosen)) if theirs != chosen => {
            if !has_no_data(&transaction).await? {
                return Err(IdentityError::HasData { service: service.name, theirs, chosen });
            }
            replace_system_id(&transaction, chosen).await?;
            Some(chosen)
        }
        (Some(there), _) => Some(there),
        (None, Some(chosen)) => Some(adopt(&transaction, service, chosen).await?),
        (None, None) if service.creates_system_id => Some(adopt_system_id(&transaction, new_system_id()?).await?),
        (None, None) => None,
    };
    transaction.commit().await?;
    Ok(id)
}

/// Makes sure that the databases of one process belong to one system, before any of its services starts.
///
/// # Errors
/// If they belong to different systems, or one of them is new and the system is not.
pub async fn establish_all(
    databases: &[(ServiceSpec, &Database)],
    settings: &IdentitySettings,
) -> Result<SystemId, IdentityError> {
    let (mut known, mut without) = (Vec::new(), Vec::new());
    for &(service, database) in databases {
        // No id is created here, because only after all databases were read is it known that none has one.
        let id = match settings.system_id {
            Some(_) => establish(database, service, settings).await?,
            None => read_system_id(&database.reader()).await?,
        };
        match id {
            Some(id) => known.push((service.name, id)),
            None => without.push((service, database)),
        }
    }
    let id = match known.first() {
        None => new_system_id()?,
        Some(&(first, id)) => match known.iter().find(|(_, other)| *other != id) {
            None => id,
            Some(&(second, other)) => return Err(IdentityError::NotOneSystem(first, id, second, other)),
        },
    };
    for (service, database) in without {
        let transaction = database.begin().await?;
        // The others have their id from the service that creates it. If that service's database has neither an id nor
        // data, it is not the database of this system.
        let is_not_theirs = service.creates_system_id && !known.is_empty() && has_no_data(&transaction).await?;
        if is_not_theirs || is_older(id, made_at(&transaction).await?) {
            return Err(IdentityError::New { service: service.name, id });
        }
        adopt(&transaction, service, id).await?;
        transaction.commit().await?;
    }
    Ok(id)
}

async fn adopt(
    transaction: &DatabaseTransaction,
    service: ServiceSpec,
    id: SystemId,
) -> Result<SystemId, IdentityError> {
    match adopt_system_id(transaction, id).await? {
        theirs if theirs == id => Ok(id),
        // Another replica was first.
        theirs => Err(IdentityError::HasData { service: service.name, theirs, chosen: id }),
    }
}

fn new_system_id() -> Result<SystemId, DbErr> {
    Uuid::now_v7().try_into().map_err(|error: SystemIdError| DbErr::Custom(error.to_string()))
}
