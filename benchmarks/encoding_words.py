"""Words of the benchmark of encodings: names, cities, and common words of each language, with letters beyond ASCII.

`TUNED` are the words that the detector was tried on while it was written; `HELD_OUT` were written before its figures
were known, and their errors were looked at only late. Neither is what `letters.json` was made from.
"""

from __future__ import annotations

LANGUAGES = {
    "German": "cp1252",
    "French": "cp1252",
    "Spanish": "cp1252",
    "Portuguese": "cp1252",
    "Italian": "cp1252",
    "Swedish": "cp1252",
    "Danish": "cp1252",
    "Polish": "cp1250",
    "Czech": "cp1250",
    "Hungarian": "cp1250",
    "Russian": "cp1251",
    "Greek": "cp1253",
    "Turkish": "cp1254",
    "Hebrew": "cp1255",
    "Arabic": "cp1256",
    "Lithuanian": "cp1257",
    "Japanese": "cp932",
}
"""The languages, and the code page in which a spreadsheet program on Windows saves them."""

ALSO = {
    "Chinese": "gb18030",
    "Chinese (traditional)": "big5",
    "Korean": "cp949",
    "Romanian": "cp1250",
    "Latvian": "cp1257",
    "Ukrainian": "cp1251",
    "French (Mac)": "mac-roman",
    "German (DOS)": "cp850",
    "Spanish (DOS)": "cp437",
    "Russian (DOS)": "cp866",
    "Russian (KOI8)": "koi8-r",
    "Polish (Latin 2)": "iso8859-2",
}
"""More pairs, such as those of old systems; they are not in the totals."""

TUNED = {
    "German": "Müller Schröder Jäger Köhler Weiß Größe Straße Bäcker Günther Björn Nürnberg Köln Düsseldorf Lübeck für über "
    "schön Käse Prüfung Gebühr Änderung Übersicht",
    "French": "François Hélène Zoé Renée Gérard Thérèse Besançon Orléans Nîmes Angoulême élève château garçon naïf Noël "
    "déjà français préféré hôpital reçu société",
    "Spanish": "Peña Muñoz José Núñez García Ibáñez Ángel Sofía León Málaga Cádiz Córdoba España mañana corazón señor "
    "niño teléfono dirección año último",
    "Portuguese": "João Conceição Gonçalves Antônio Luís São Magalhães Brandão Coração ação não também você maçã avô "
    "Évora Guimarães Maranhão endereço situação país",
    "Italian": "Nicolò Niccolò Città però perché università Forlì Cantù virtù caffè lunedì Mondovì già così attività "
    "qualità Corà Agrò Giosuè società",
    "Swedish": "Åsa Björk Lindström Sjöberg Håkansson Göran Västerås Malmö Gävle Örebro fågel kött sjö gård hjälp många "
    "Östersund för också språk",
    "Danish": "Søren Jørgensen Kjær Bjørn Åse Ærø Nørgaard Sønderborg Århus København Tønder grøn blå køb måned første "
    "række fødselsdag Køge på",
    "Polish": "Łukasz Wójcik Kowalczyków Żak Jędrzej Małgorzata Łódź Gdańsk Wrocław Poznań Kraków źródło święto żółty "
    "książka dzień proszę być również część",
    "Czech": "Dvořák Černý Novotný Růžička Žižka Příbram Plzeň České Třebíč Děčín město příjmení žena děti každý něco "
    "kůň jméno Jiří Šárka úřad",
    "Hungarian": "Kovács Szűcs Erdős Györgyi Zoltán Győr Pécs Székesfehérvár Érd Hódmezővásárhely idő könyv nő közös "
    "űrlap őszi születési név cím János Ágnes",
    "Russian": "Иван Петров Елена Смирнова Москва Казань Новосибирск улица город имя фамилия дата Сергей Ольга Пермь "
    "заказ сумма Екатерина Щукин Юлия",
    "Greek": "Γιώργος Παπαδόπουλος Ελένη Μαρία Αθήνα Θεσσαλονίκη Πάτρα όνομα διεύθυνση πόλη Νίκος Κωνσταντίνος Λάρισα "
    "τιμή ημερομηνία Άρτα Σπύρος Χανιά",
    "Turkish": "Yılmaz Şahin Öztürk Çelik Güneş Işık Kılıç İstanbul İzmir Eskişehir Muğla Şanlıurfa değer çocuk gün "
    "ağaç için müşteri şehir doğum Aydın",
    "Hebrew": "יוסף כהן לוי שרה תל אביב ירושלים חיפה שם כתובת עיר מספר רחוב משה דוד רבקה באר שבע תאריך סכום",
    "Arabic": "محمد أحمد فاطمة القاهرة الرياض دبي اسم عنوان مدينة تاريخ علي حسن خالد الإسكندرية رقم شارع المبلغ "
    "عبدالله مريم",
    "Lithuanian": "Šarūnas Žydrūnas Jūratė Kęstutis Rūta Šiauliai Panevėžys Mažeikiai Kėdainiai žmogus gatvė ačiū "
    "šalis pavardė Įmonė ąžuolas būti diena vardė Vytautė",
    "Japanese": "山田太郎 佐藤花子 鈴木 高橋 東京都 大阪市 横浜 名前 住所 電話番号 田中 渡辺 京都 ヤマダ さくら 株式会社 日付 北海道",
    "Chinese": "王伟 李娜 张敏 刘洋 北京市 上海 广州 姓名 地址 电话 陈静 杨丽 深圳 公司 日期 数量 南京 客户",
    "Chinese (traditional)": "陳怡君 林志明 黃淑芬 臺北市 高雄 姓名 地址 電話 張家豪 臺中 公司 日期 數量 新竹 客戶 訂單",
    "Korean": "김민수 이영희 박지훈 서울시 부산 대구 이름 주소 전화번호 최수진 정우성 인천 회사 날짜 수량 고객",
    "Romanian": "Ştefan Ioniţă Bucureşti Timişoara Piteşti Constanţa Brăila oraş judeţ străzi Andreea Mureşan după în "
    "ţară Rădulescu Crăciun",
    "Latvian": "Jānis Bērziņš Kalniņa Ozoliņš Rēzekne Jūrmala Liepāja Daugavpils vārds uzvārds iela šķērsiela Ķekava "
    "Ģirts Līga diena mēnesis",
    "Ukrainian": "Київ Львів Шевченко Олексій Наталія Їжак Євген місто вулиця прізвище Харків Ґудзик кількість сьогодні "
    "дев Юрій",
}
HELD_OUT = {
    "German": "Böhm Krüger Schäfer Größmann Löwe Jürgen Käthe Würzburg Tübingen Mönchengladbach Fürth Göttingen Gießen "
    "möglich natürlich während größer Süßwaren Stück Vergütung Öffnung Äpfel",
    "French": "Benoît Anaïs Chloé Éric Loïc Maël Béatrice Évreux Sète Épinal Périgueux Alès commerçant côté forêt être "
    "là très façade événement théâtre quantité",
    "Spanish": "Martínez Rodríguez Íñigo Begoña Raúl Óscar Almería Logroño Ávila Castellón pequeño habitación también "
    "número cañón otoño acción así jamón Úbeda",
    "Portuguese": "Inês Simões Patrícia Estêvão Mônica Cláudio Bragança Belém Ribeirão Maceió Florianópolis pão irmã "
    "mês três código órgão informações preço ninguém À",
    "Italian": "Salomè Noè Mosè Cefalù Patù Macchè Agordò libertà felicità martedì venerdì può più verità tribù là "
    "né età novità Trinità",
    "Swedish": "Åkesson Börje Märta Söderlund Nyström Ängelholm Jönköping Umeå Linköping Skellefteå hör älskar år "
    "vår önskar kyrkogård räkning köpare själv när",
    "Danish": "Østergaard Mønsted Pål Åge Lærke Thøger Sæby Helsingør Nykøbing Brønshøj læge skål brød være både "
    "dårlig gæst øre måske næste",
    "Polish": "Zieliński Wiśniewska Błażej Rafał Śliwa Łucja Białystok Częstochowa Toruń Rzeszów Bełchatów miesiąc "
    "ulicę więcej człowiek późno można zażółć Ćwiek grudzień złoty",
    "Czech": "Procházka Kučera Bartoš Říha Tomáš Zdeňka Ústí Břeclav Kroměříž Šumperk Havířov číslo ulice měsíc žádný "
    "dítě řeka tužka ještě společnost Úvaly",
    "Hungarian": "Szabó Tóth Horváth Fülöp Gergő Szőke Orsolya Szombathely Dunaújváros Nyíregyháza Békéscsaba összeg "
    "hónap víz gyümölcs fűszer első több között Sándor műszaki",
    "Russian": "Дмитрий Кузнецов Анастасия Волкова Наталья Самара Воронеж Челябинск Уфа квартира телефон область "
    "товар цена Жуков Эдуард почта итого ребёнок",
    "Greek": "Δημήτρης Αικατερίνη Βασίλης Ιωάννης Καλαμάτα Ηράκλειο Βόλος επώνυμο τηλέφωνο οδός αριθμός ποσότητα "
    "πελάτης Άννα Έλενα Θεόδωρος χώρα Ρόδος",
    "Turkish": "Yıldız Çağlar Gökçe Doğan Ümit Özge Ayşe Diyarbakır Kırşehir Balıkesir Beyoğlu ödeme açıklama tarih "
    "sipariş ürün yaş kız büyük Üsküdar iş",
    "Hebrew": "אברהם מזרחי רחל יעקב אשדוד נתניה חולון רמת גן טלפון לקוח מחיר כמות הזמנה שלום יום פרץ נעמי",
    "Arabic": "يوسف إبراهيم عائشة بيروت بغداد الدوحة هاتف شركة العميل الكمية السعر طلب سعيد نورة زينب جدة المنطقة",
    "Lithuanian": "Gražina Eglė Dovydas Kazlauskienė Žukauskas Ąsotis Telšiai Plungė Tauragė mėnuo žiūrėti šeima "
    "užsakymas įrašas pirkėjas kąsnis dešimt Jonušas Vėjūnė žąsis",
    "Japanese": "伊藤 中村健一 小林 加藤 名古屋市 福岡県 神戸 商品 数量 金額 ひらがな カタカナ 吉田 松本 会社名 注文 仙台 備考",
    "Chinese": "赵强 黄磊 周杰 吴芳 成都 武汉市 重庆 订单 价格 备注 孙丽华 朱明 杭州 城市 产品 合同 编号 手机",
    "Chinese (traditional)": "吳宗憲 蔡英文 劉德華 桃園市 臺南 基隆 產品 價格 備註 鄭雅文 許志安 城市 編號 手機 合約 地區",
    "Korean": "강동원 조은지 윤서연 광주 대전시 울산 제품 가격 비고 한지민 임창정 수원 주문 번호 회원 지역",
    "Romanian": "Gheorghiţă Mădălina Sânziana Târgovişte Bacău Galaţi Buzău număr localităţi preţ câine mâine aşa şi "
    "Păun Ţăranu întreg",
    "Latvian": "Kārlis Pētersons Liepiņa Zariņš Ventspils Valmiera Ogrē Sigulda skaits pasūtījums cena šodien ķirsis "
    "ģimene Žanis Ilzīte gadījums",
    "Ukrainian": "Іванна Тарас Мельник Бондаренко Одеса Дніпро Запоріжжя замовлення ціна ім'я область Єлизавета "
    "Їдальня цукор щастя вересень",
}
for _words in (TUNED, HELD_OUT):
    _words["French (Mac)"] = _words["French"]
    _words["German (DOS)"] = _words["German"]
    _words["Spanish (DOS)"] = _words["Spanish"]
    _words["Russian (DOS)"] = _words["Russian (KOI8)"] = _words["Russian"]
    _words["Polish (Latin 2)"] = _words["Polish"]

PLAIN = """
Anna Peter Maria Thomas Smith Rome Berlin Madrid Paris Lisbon Milano Oslo Praha Warszawa Budapest Moscow Ankara Haifa
Kairo Vilnius Osaka Main Station Order Customer Office Garden Silver Market Alpha Bravo Delta Nova Orion
"""
"""Words of other rows and columns, as they are in tables of all languages."""
