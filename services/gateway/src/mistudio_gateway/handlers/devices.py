"""/api/devices: what there is to compute on."""

from __future__ import annotations

from mistudio_contracts.rpc import ListDevicesRequest
from mistudio_contracts.states import Scope
from mistudio_contracts.subjects import RPC_DEVICE_LIST
from mistudio_contracts.views import DevicePage
from mistudio_gateway.rest.operations import Operations
from mistudio_gateway.rest.parameters import Caller, Here

operations = Operations("devices")


@operations.add("GET", "/api/devices", scope=Scope.READ)
async def list_devices(here: Here, caller: Caller) -> DevicePage:
    """List devices with their memory, the models on them and their stores."""
    request = ListDevicesRequest(actor=caller.subject)
    return await here.catalog.ask(RPC_DEVICE_LIST, request, DevicePage)
