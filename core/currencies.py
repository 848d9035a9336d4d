"""ISO 4217 currencies and the number of decimal digits of their minor unit.

Source: ISO 4217 list one (SIX). Exponents are immutable: otherwise an amount stored in minor units
would change its meaning.
"""

from typing import Final

_DEFAULT_EXPONENT: Final = 2

_TWO_DIGITS: Final = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
    "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD "
    "MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP "
    "PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS "
    "TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
).split()
_ZERO_DIGITS: Final = ("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF").split()
_THREE_DIGITS: Final = "BHD IQD JOD KWD LYD OMR TND".split()
_FOUR_DIGITS: Final = "CLF UYW".split()

EXPONENTS: Final[dict[str, int]] = {
    **dict.fromkeys(_TWO_DIGITS, _DEFAULT_EXPONENT),
    **dict.fromkeys(_ZERO_DIGITS, 0),
    **dict.fromkeys(_THREE_DIGITS, 3),
    **dict.fromkeys(_FOUR_DIGITS, 4),
}
"""Decimal digits by upper-case alphabetic code; what is not here is not booked."""
