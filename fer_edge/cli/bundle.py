"""``fer-edge bundle``: look at bundles, check, sign, take apart and install them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_edge.cli.models import by_name
from fer_edge.cli.options import Keys
from fer_edge.shipped import comes_with_package

bundle_app = typer.Typer(
    help="Look at bundles; verify, sign, take apart, install them.\n\n"
    "Example: [bold]fer-edge bundle show edge-small[/]",
    no_args_is_help=True,
)

_BundlePath = Annotated[
    Path,
    typer.Argument(
        metavar="BUNDLE", callback=by_name, help="A .fer file, or a shipped model's name."
    ),
]
_InstallFolder = Annotated[
    Path | None,
    typer.Option(
        "--to",
        metavar="DIR",
        help="Folder of the installed bundles.",
        show_default="/var/lib/fer-edge/bundles, or ~/.local/share/fer-edge/bundles",
    ),
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@bundle_app.command()
def show(bundle: _BundlePath, as_json: _AsJson = False) -> None:
    """Say what a bundle is: labels, figures, who signed it.

    Checksums are verified, and the signature of what came with the package; no more.

    Example: [bold]fer-edge bundle show edge-small[/]
    """
    from fer_edge.bundle import open_bundle
    from fer_edge.bundle.report import print_bundle

    keys = None if comes_with_package(bundle) else ()
    print_bundle(open_bundle(bundle, keys=keys), as_json=as_json)


@bundle_app.command()
def verify(bundle: _BundlePath, key: Keys = None, as_json: _AsJson = False) -> None:
    """Check checksums, signature and, on this machine's runtimes, the golden set.

    Example: [bold]fer-edge bundle verify edge-small[/]
    Example: [bold]fer-edge bundle verify mine.fer --key fer-edge.pub[/]
    """
    from fer_edge.bundle.report import print_verification
    from fer_edge.bundle.trust import given_keys
    from fer_edge.bundle.verifying import verify as verify_bundle

    print_verification(verify_bundle(bundle, keys=given_keys(key)), as_json=as_json)


@bundle_app.command()
def sign(
    bundle: _BundlePath,
    secret_key: Annotated[
        Path, typer.Option("--secret-key", "-s", help="minisign's secret key file.")
    ] = Path("fer-edge.key"),
    version: Annotated[
        int | None,
        typer.Option(
            "--version", help="Counter; devices refuse lower ones.", show_default="the time"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File.", show_default="the bundle itself")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="Holds the password; asked for if needed."),
    ] = None,
) -> None:
    """Sign a bundle with Ed25519, in minisign's format.

    Example: [bold]fer-edge bundle sign mine.fer --secret-key fer-edge.key[/]
    """
    from fer_edge.bundle.minisign import read_secret_key
    from fer_edge.bundle.report import signature_facts
    from fer_edge.bundle.signing import sign_bundle

    signer = read_secret_key(secret_key, lambda: _password(password_file))
    signed = sign_bundle(bundle, signer, target=output, version=version)
    facts = signature_facts(signed) or {}
    typer.echo(f"signed {signed.path} with {facts['key']}, version {facts['version']}")


@bundle_app.command()
def keygen(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Name; .key and .pub are added.")
    ] = Path("fer-edge"),
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", help="Holds the password; else it is asked for."),
    ] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", "-W", help="Leave the secret key unencrypted.")
    ] = False,
) -> None:
    """Make a key pair for signing bundles, in minisign's format.

    Example: [bold]fer-edge bundle keygen -o fer-edge[/]
    """
    from fer_edge.bundle.signing import make_keys

    password = "" if no_password else _password(password_file, new=True)
    secret, public = (output.with_name(output.name + end) for end in (".key", ".pub"))
    made = make_keys(secret, public, password)
    typer.echo(f"{secret}: keep it secret, and keep a copy")
    typer.echo(f"{public}: {made.id}; put it into /etc/fer-edge/keys on every device")


@bundle_app.command()
def extract(
    bundle: _BundlePath,
    members: Annotated[
        list[str] | None, typer.Argument(metavar="[MEMBER]...", help="Names.", show_default="all")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder.", show_default="the bundle's name"),
    ] = None,
) -> None:
    """Write a bundle's members as files, after their checksums were verified.

    Example: [bold]fer-edge bundle extract edge-small model.int8.tflite -o models[/]
    """
    from fer_edge.bundle import open_bundle
    from fer_edge.bundle.signing import extract as extract_members

    folder = output or Path(bundle.stem)
    for path in extract_members(open_bundle(bundle, keys=()), folder, members or ()):
        typer.echo(str(path))


@bundle_app.command()
def install(
    bundle: _BundlePath,
    to: _InstallFolder = None,
    key: Keys = None,
    allow_downgrade: Annotated[
        bool, typer.Option("--allow-downgrade", help="Take one of a lower version, or of none.")
    ] = False,
    as_json: _AsJson = False,
) -> None:
    """Verify a bundle on this device and put it in place of the current one, which is kept.

    Example: [bold]fer-edge bundle install edge-small[/]
    """
    from fer_edge.bundle.trust import given_keys
    from fer_edge.device.install import install as install_bundle
    from fer_edge.device.install import print_installed

    keys = given_keys(key)
    done = install_bundle(bundle, to, keys=keys, allow_downgrade=allow_downgrade)
    print_installed(done, as_json=as_json)


@bundle_app.command()
def rollback(to: _InstallFolder = None, key: Keys = None, as_json: _AsJson = False) -> None:
    """Go back to the bundle that was installed before, after verifying it.

    Example: [bold]fer-edge bundle rollback[/]
    """
    from fer_edge.bundle.trust import given_keys
    from fer_edge.device.install import print_installed
    from fer_edge.device.install import rollback as roll_back

    print_installed(roll_back(to, keys=given_keys(key)), as_json=as_json)


@bundle_app.command()
def schema() -> None:
    """Print the JSON Schema of a bundle's manifest.

    Example: [bold]fer-edge bundle schema > bundle.schema.json[/]
    """
    import json

    from fer_edge.bundle import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _password(file: Path | None, *, new: bool = False) -> str:
    import getpass
    import sys

    from fer_edge.errors import FerEdgeError

    if file is None:
        if not sys.stdin.isatty():
            raise FerEdgeError(
                "there is no terminal to type a password into", "name one with --password-file FILE"
            )
        answer = getpass.getpass("password: ")
        if new and getpass.getpass("again: ") != answer:
            raise FerEdgeError("the passwords differ", "try again")
        return answer
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise FerEdgeError(
            f"cannot read the password file {file}", "give a text file with the password alone"
        ) from error
