"""Scans a port with sslyze; prints what it found as JSON.

usage: scan.py PORT CERTIFICATE KEY
"""

import json
import sys
from pathlib import Path

from sslyze import (
    ClientAuthenticationCredentials,
    ScanCommand,
    ScanCommandAttemptStatusEnum,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
)

CIPHER_SUITES = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"]
OTHERS = {
    "tls_compression": lambda result: result.supports_compression,
    "session_resumption": lambda result: [result.session_id_resumption_result.name, result.tls_ticket_resumption_result.name],
    "session_renegotiation": lambda result: [result.supports_secure_renegotiation, result.is_vulnerable_to_client_renegotiation_dos],
    "heartbleed": lambda result: result.is_vulnerable_to_heartbleed,
    "openssl_ccs_injection": lambda result: result.is_vulnerable_to_ccs_injection,
    "robot": lambda result: result.robot_result.name,
    "elliptic_curves": lambda result: sorted(curve.name for curve in result.supported_curves or []),
}


def main() -> None:
    """Prints the findings; those of a command that failed are its error."""
    port, certificate, key = sys.argv[1:]
    credentials = ClientAuthenticationCredentials(certificate_chain_path=Path(certificate), key_path=Path(key))
    commands = {ScanCommand(f"{version}_cipher_suites") for version in CIPHER_SUITES} | {ScanCommand(name) for name in OTHERS}
    request = ServerScanRequest(
        server_location=ServerNetworkLocation(hostname="localhost", ip_address="127.0.0.1", port=int(port)),
        network_configuration=ServerNetworkConfiguration(
            tls_server_name_indication="localhost", tls_client_auth_credentials=credentials, network_timeout=10
        ),
        scan_commands=commands,
    )
    scanner = Scanner(per_server_concurrent_connections_limit=10)
    scanner.queue_scans([request])
    [scanned] = scanner.get_results()
    if scanned.scan_result is None:
        sys.exit(f"no connection: {scanned.connectivity_error_trace}")
    found = {"highest": scanned.connectivity_result.highest_tls_version_supported.name}
    suites = {f"{version}_cipher_suites": accepted for version in CIPHER_SUITES}
    for name, read in {**suites, **OTHERS}.items():
        attempt = getattr(scanned.scan_result, name)
        is_done = attempt.status == ScanCommandAttemptStatusEnum.COMPLETED
        found[name] = read(attempt.result) if is_done else str(attempt.error_trace)
    json.dump(found, sys.stdout)


def accepted(result) -> list[str]:
    """The cipher suites that a server accepts."""
    return sorted(suite.cipher_suite.name for suite in result.accepted_cipher_suites)


if __name__ == "__main__":
    main()
