"""What is left free of the disk, and what a client is told when it cannot be read or written."""

from spsd.domain.database import DatabaseError, Trouble
from spsd.errors import InsufficientStorageError, RequestError, StorageBusyError, StorageFailedError
from spsd.failures import EXPLANATIONS, ApplianceError, FailureCode

SPARE_BYTES = 16 * 1024 * 1024
"""Left free on a file system, for the database and the manifests."""


def storage_problem(error: DatabaseError | ApplianceError) -> RequestError:
    """The refusal of a request that has changed nothing, by whose fault and with what to do."""
    match error:
        case ApplianceError(code=FailureCode.DISK_FULL):
            return InsufficientStorageError(
                f"The disk is full: {error.what}. Free space on the state directory's file system, "
                "and send the request again.",
                **{name.replace(" ", "_"): value for name, value in error.evidence.items()},
            )
        case ApplianceError():
            return StorageFailedError(
                f"The state directory cannot be used: {error.what}. "
                f"{EXPLANATIONS[error.code].advice}"
            )
        case DatabaseError(trouble=Trouble.LOCKED):
            return StorageBusyError(
                f"Another program holds the database: {error.what}. Nothing was changed; send the "
                "request again.",
                code=error.trouble,
            )
        case _:
            return StorageFailedError(
                f"The database cannot be used: {error.what}. Nothing was changed; `spsd doctor` on "
                "the appliance says what is wrong.",
                code=error.trouble,
            )
