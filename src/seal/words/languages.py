"""Names of languages, as files and streams state them, and the ISO 639-1 code of each."""

from __future__ import annotations

import re
from typing import Final

# ISO 639-1 = ISO 639-2 (both where there are two) and the English name; then what files say.
_LANGUAGES: Final = """
aa=aar,afar ab=abk,abkhazian af=afr,afrikaans ak=aka,akan am=amh,amharic ar=ara,arabic
as=asm,assamese ay=aym,aymara az=aze,azerbaijani ba=bak,bashkir be=bel,belarusian
bg=bul,bulgarian bm=bam,bambara bn=ben,bengali bo=bod,tib,tibetan br=bre,breton
bs=bos,bosnian ca=cat,catalan cs=ces,cze,czech cy=cym,wel,welsh da=dan,danish
de=deu,ger,german,deutsch dz=dzo,dzongkha el=ell,gre,greek en=eng,english eo=epo,esperanto
es=spa,spanish,castellano,castilian,espanol,español,esla,latino et=est,estonian
eu=eus,baq,basque fa=fas,per,persian,farsi ff=ful,fulah fi=fin,finnish fj=fij,fijian
fo=fao,faroese fr=fra,fre,french,francais,français fy=fry ga=gle,irish gd=gla
gl=glg,galician gn=grn,guarani gu=guj,gujarati ha=hau,hausa he=heb,hebrew,iw hi=hin,hindi
hr=hrv,croatian,scr ht=hat,haitian hu=hun,hungarian,magyar hy=hye,arm,armenian
id=ind,indonesian ig=ibo,igbo is=isl,ice,icelandic it=ita,italian,italiano iu=iku,inuktitut
ja=jpn,japanese,jp jv=jav,javanese ka=kat,geo,georgian kk=kaz,kazakh kl=kal km=khm,khmer
kn=kan,kannada ko=kor,korean ks=kas,kashmiri ku=kur,kurdish ky=kir,kyrgyz la=lat,latin
lb=ltz,luxembourgish ln=lin,lingala lo=lao lt=lit,lithuanian lv=lav,latvian mg=mlg,malagasy
mi=mri,mao,maori mk=mkd,mac,macedonian ml=mal,malayalam mn=mon,mongolian mr=mar,marathi
ms=msa,may,malay mt=mlt,maltese my=mya,bur,burmese nb=nob ne=nep,nepali
nl=nld,dut,dutch,nederlands,flemish nn=nno no=nor,norwegian oc=oci,occitan or=ori,odia
pa=pan,punjabi pl=pol,polish,polski ps=pus,pashto pt=por,portuguese,pob,ptb,brazilian
qu=que,quechua rm=roh ro=ron,rum,romanian,mo ru=rus,russian rw=kin,kinyarwanda sa=san,sanskrit
sc=srd,sardinian sd=snd,sindhi se=sme si=sin,sinhala sk=slk,slo,slovak sl=slv,slovenian
sm=smo,samoan sn=sna,shona so=som,somali sq=sqi,alb,albanian sr=srp,serbian,scc st=sot
su=sun,sundanese sv=swe,swedish,svenska sw=swa,swahili ta=tam,tamil te=tel,telugu tg=tgk,tajik
th=tha,thai ti=tir,tigrinya tk=tuk,turkmen tl=tgl,tagalog,fil,filipino tn=tsn to=ton,tonga
tr=tur,turkish tt=tat,tatar ug=uig,uyghur uk=ukr,ukrainian ur=urd,urdu uz=uzb,uzbek
vi=vie,vietnamese wo=wol,wolof xh=xho,xhosa yi=yid,yiddish yo=yor,yoruba
zh=zho,chi,chinese,chs,cht,zhs,zht,cmn,mandarin,yue,cantonese zu=zul,zulu
"""
_CODES: Final = {
    name: code
    for entry in _LANGUAGES.split()
    for code, _, names in [entry.partition("=")]
    for name in (code, *names.split(","))
}
# Suffixes of file names that tell what subtitles of one language are for.
_FORCED: Final = frozenset({"forced", "foreign"})
_OTHERS: Final = frozenset({"default", "sdh", "cc", "hoh", "full", "commentary", "comment"})


def language_code(name: str | None) -> str:
    """The ISO 639-1 code of "en", "eng", "en-US", "English"; empty for what is no language."""
    first = re.split(r"[-_ (]", (name or "").strip().lower())[0]
    return _CODES.get(first, "")


def suffixes(names: list[str]) -> tuple[str, set[str]] | None:
    """The language and the marks that the parts of a file name state, such as ["en", "forced"].

    None where a part is neither: the file then belongs to another video.
    """
    language, marks = "", set[str]()
    for name in names:
        lower = name.lower()
        if lower in _FORCED:
            marks.add("forced")
        elif lower in _OTHERS or (lower == "hi" and language):
            # "hi" after a language is "hearing impaired"; alone it is Hindi.
            marks.add(lower)
        elif found := language_code(re.sub(r"^\d+[_ -]+", "", lower)):
            if not language:
                language = found
        elif not lower.isdigit() or len(lower) > 2:
            return None
    return language, marks
